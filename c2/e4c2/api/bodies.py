# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests, of which only so much is held in memory: of each, and of all the long ones together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope

from e4c2.access.grants import Permission
from e4c2.access.limits import TOO_MANY
from e4c2.access.principal import Principal
from e4c2.api.status import TOO_LARGE, TOO_SLOW
from e4core.errors import InvalidInput, RateExceeded

BODY_MAX = 1024 * 1024
"""Longest body of a request, in bytes."""
BATCH_MAX = 16 * 1024 * 1024
"""Longest body of a request that is about many things, in bytes."""
SHORT_MAX = 64 * 1024
"""Up to so many bytes nobody counts them: as many as there are connections fit into memory."""
LONG_MAX = 4 * BATCH_MAX
"""Most that is held of bodies longer than `SHORT_MAX`, in bytes, of all requests together."""
BODY_S = 30.0
"""Longest time for a body to arrive, in seconds."""

_WAIT_S = 5

_BATCHES = (
    (re.compile(r"POST /v1/clients/batch"), Permission.CLIENTS_ENROL),
    (re.compile(r"POST /v1/clients/batch/remove"), Permission.CLIENTS_REMOVE),
    (re.compile(r"POST /v1/topics/batch"), Permission.TOPICS_CREATE),
    (re.compile(r"POST /v1/topics/[^/]+/members/batch"), Permission.MEMBERS_JOIN),
)
"""Requests that are about many things, and what they need: long bodies of others are not held until they are refused."""


def longest(scope: Scope, principal: Principal) -> int:
    """Of a request's body, in bytes."""
    route = f"{scope['method']} {scope['path']}"
    is_batch = any(path.fullmatch(route) and principal.has(permission) for path, permission in _BATCHES)
    return BATCH_MAX if is_batch else BODY_MAX


class Bodies:
    """Of one process, in its event loop. ``long_max``: bytes."""

    def __init__(self, body_s: float = BODY_S, long_max: int = LONG_MAX) -> None:
        self._body_s, self._left = body_s, long_max

    @asynccontextmanager
    async def read(self, receive: Receive, most: int) -> AsyncIterator[bytes]:
        """A body, held until the request is answered.

        Raises: InvalidInput: it is longer than ``most`` bytes, or slow. RateExceeded: too much of others is held.
        """
        body: bytes | bytearray
        body = bytearray()
        try:
            await self._fill(body, receive, most)
            body = bytes(body)
            yield body
        finally:
            self._left += _counted(len(body))

    async def _fill(self, body: bytearray, receive: Receive, most: int) -> None:
        try:
            async with asyncio.timeout(self._body_s):
                async for part in _parts(receive):
                    size = len(body) + len(part)
                    if size > most:
                        raise InvalidInput(f"a body is {most} bytes long at most", kind=TOO_LARGE)
                    self._hold(_counted(size) - _counted(len(body)))
                    body += part
        except TimeoutError:
            text = f"the body did not arrive within {self._body_s:.0f} s; send it again"
            raise InvalidInput(text, kind=TOO_SLOW) from None

    def _hold(self, size: int) -> None:
        if size > self._left:
            text = f"too many long requests are under way; try again in {_WAIT_S} s, or send fewer things at once"
            raise RateExceeded(text, kind=TOO_MANY, wait_s=_WAIT_S)
        self._left -= size


def _counted(size: int) -> int:
    return size if size > SHORT_MAX else 0


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    is_last = False
    while not is_last:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("the request ended early")
        is_last = not message.get("more_body", False)
        yield message.get("body", b"")
