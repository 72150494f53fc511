# SPDX-License-Identifier: Apache-2.0
"""``grpc.health.v1``: serving as long as the C2 is ready. As with HTTP, it needs no token.

So anybody may ask: only so many at a time, none of them for long, and one look at the C2 serves them all.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from e4c2.grpc import messages
from e4c2.grpc.calls import SOON_S, Calls
from e4c2.grpc.description import services
from e4core.errors import InvalidInput, NotFound, RateExceeded

PERIOD_S = 2.0
"""Time between two looks, in seconds, for those who watch."""
GOOD_FOR_S = 1.0
"""So long a look is good for all who ask, in seconds."""
WATCH_S = 60.0
"""Longest time to watch, in seconds: then a client asks again."""
CALLS_MAX = 50
"""Calls of each kind at a time."""

_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_STATUS = {True: HealthCheckResponse.SERVING, False: HealthCheckResponse.NOT_SERVING}

Answer = Callable[[str, Any], Awaitable[None]]


class Health:
    """Of the whole, whose name is empty, and of each service, which serves as the whole does."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._names = {"", *services()}
        self._open: Counter[Answer] = Counter()
        self._look: asyncio.Task[bool] | None = None
        self._good_until = 0.0

    def handlers(self) -> grpc.GenericRpcHandler:
        """Each reads its message by itself, as the library would wait for it for ever."""
        answers = {"Check": self._check, "Watch": self._watch}
        methods = {name: grpc.stream_stream_rpc_method_handler(self._handler(each)) for name, each in answers.items()}
        return grpc.method_handlers_generic_handler(_SERVICE, methods)

    def _handler(self, answer: Answer) -> Callable[[object, Any], Awaitable[None]]:
        async def work(context: Any) -> None:
            with self._place(answer):
                await answer(await _service(context), context)

        async def handle(_: object, context: Any) -> None:
            await self._calls.guarded(work(context), context)

        return handle

    @contextmanager
    def _place(self, answer: Answer) -> Iterator[None]:
        """Raises: RateExceeded: there is none."""
        if self._open[answer] >= CALLS_MAX:
            raise RateExceeded(f"{CALLS_MAX} calls ask for the health of the C2 already; call again later")
        self._open[answer] += 1
        try:
            yield
        finally:
            self._open[answer] -= 1

    async def _check(self, service: str, context: Any) -> None:
        if service not in self._names:
            raise NotFound("there is no such service")
        await messages.write(context, HealthCheckResponse(status=await self._status()))

    async def _watch(self, service: str, context: Any) -> None:
        last = None
        with self._calls.streaming(), suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S):
                while True:
                    is_known = service in self._names
                    status = await self._status() if is_known else HealthCheckResponse.SERVICE_UNKNOWN
                    if status != last:
                        await messages.write(context, HealthCheckResponse(status=status))
                    last = status
                    await asyncio.sleep(PERIOD_S)

    async def _status(self) -> Any:
        """As one look found it, which goes on if who asked for it leaves."""
        if self._look is None or (self._look.done() and time.monotonic() >= self._good_until):
            self._look = asyncio.create_task(self._calls.is_ready())
            self._good_until = time.monotonic() + GOOD_FOR_S
        return _STATUS[await asyncio.shield(self._look)]


async def _service(context: Any) -> str:
    """Whose health is asked for. Raises: InvalidInput."""
    message = messages.needed(await messages.following(context, SOON_S))
    try:
        return str(HealthCheckRequest.FromString(message).service)
    except DecodeError:
        raise InvalidInput("this is no HealthCheckRequest") from None
