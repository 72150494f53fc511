# SPDX-License-Identifier: Apache-2.0
"""Calls, each answered with what the HTTP application answers to the request that it stands for.

So whoever may do something, how often, and what is recorded of it, cannot differ between the two.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import grpc
from starlette.responses import Response
from starlette.types import ASGIApp

from e4c2.api.caller import IDEMPOTENCY_KEY
from e4c2.api.listener import GRACE_S
from e4c2.api.status import INTERNAL, of_error, problem
from e4c2.grpc import messages, transcoding
from e4c2.grpc.description import Rpc
from e4c2.grpc.events import events
from e4c2.grpc.exchange import Exchange, Peer
from e4c2.grpc.failure import Failure, of_answer
from e4c2.grpc.transcoding import Request
from e4core.errors import E4Error

log = logging.getLogger(__name__)

Handler = Callable[[Any, Any], Awaitable[None]]

Pairs = Sequence[tuple[bytes, bytes]]

_EVENTS = (b"accept", b"text/event-stream")
_KEY = IDEMPOTENCY_KEY.encode()
STOPPING = "stopping"
BUSY = "busy"
CALLS_MAX = 1000
"""Calls at a time; requests, too, whose calls may have ended before."""
SOON_S = 1.0
"""Longest wait for the first message of somebody who is not known, in seconds."""
_KNOWN = Request("OPTIONS", "/v1/self", b"/v1/self", b"", b"")
"""Answered to all who are known, whatever they may do."""
_READY = Request("GET", "/v1/ready", b"/v1/ready", b"", b"")
_INSIDE = Peer("", 0, False, ())
_OF_THE_TRANSPORT = ("te", "accept", "content-type", "content-length", "if-none-match")
"""Metadata that are no headers of the request: an answer of gRPC is never left out, and always of one type."""
_TOLD = ("etag", "location", "retry-after", "x-request-id")
"""Headers of an answer that are worth metadata."""


class Calls:
    """Requests are at work until they are finished, though some of their calls may have ended before."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._streams: set[asyncio.Task[Any]] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def handler(self, rpc: Rpc) -> Handler:
        async def handle(_: object, context: Any) -> None:
            await self.guarded(self._answer(rpc, context), context)

        return handle

    async def guarded(self, work: Awaitable[None], context: Any) -> None:
        """The border of this API, at which errors become statuses. Raises: what ends a call in gRPC."""
        try:
            await work
        except E4Error as error:
            failure = _failure(of_error(error, is_known=False))
        except Failure as error:
            failure = error
        except Exception as error:
            _log_place(error)
            text = "something unexpected went wrong in the C2; its log says where"
            failure = _failure(problem(HTTPStatus.INTERNAL_SERVER_ERROR, text, INTERNAL))
        else:
            return
        await context.abort(failure.code, failure.text, (*context.trailing_metadata(), *failure.trailers))

    async def get(self, path: str, context: Any) -> None:
        """Ask for ``path``, with the credentials of a call. Raises: Failure: it is answered with an error."""
        with self._asked(Request("GET", path, path.encode(), b"", b""), _headers(context), _peer(context)) as exchange:
            await _accepted(exchange, context)

    async def is_ready(self) -> bool:
        """Whether the C2 is ready, asked for by nobody."""
        with self._asked(_READY, [], _INSIDE) as exchange:
            try:
                status, _ = await exchange.begin()
            except E4Error:
                return False
        return status < HTTPStatus.BAD_REQUEST

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """Around what the present task does for who listens, perhaps for ever. Raises: Failure: the C2 stops."""
        task = asyncio.current_task()
        assert task
        self._streams.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._is_stopping:
                raise
            task.uncancel()
            text = "the C2 stops; call again"
            raise _failure(problem(HTTPStatus.SERVICE_UNAVAILABLE, text, STOPPING)) from None
        finally:
            self._streams.discard(task)

    async def stop(self) -> None:
        """End the streams, and wait for what is at work, `GRACE_S` at most."""
        self._is_stopping = True
        for stream in self._streams:
            stream.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE_S)

    async def _answer(self, rpc: Rpc, context: Any) -> None:
        if len(self._running) >= CALLS_MAX:
            text = f"{CALLS_MAX} requests are at work; call again"
            raise _failure(problem(HTTPStatus.SERVICE_UNAVAILABLE, text, BUSY))
        headers, message = _headers(context), await self._first(context)
        if not rpc.takes_many:
            request = transcoding.request(rpc, messages.needed(message))
            if not rpc.gives_many:
                return await self._single(rpc, request, headers, context)
            with self.streaming():
                return await self._many(rpc, request, headers, context)
        number = 0
        with self.streaming():
            while message is not grpc.aio.EOF:
                await self._single(rpc, transcoding.request(rpc, message), _numbered(headers, number), context)
                number, message = number + 1, await messages.following(context)
        return None

    async def _first(self, context: Any) -> Any:
        """The first message, or the end. Who sends none at once is to show who waits. Raises: InvalidInput. Failure."""
        reading = asyncio.create_task(messages.following(context))
        try:
            done, _ = await asyncio.wait({reading}, timeout=SOON_S)
            if not done:
                with self._asked(_KNOWN, _headers(context), _peer(context)) as exchange:
                    await _accepted(exchange, context)
            return await reading
        finally:
            reading.cancel()

    async def _single(self, rpc: Rpc, request: Request, headers: Pairs, context: Any) -> None:
        with self._asked(request, headers, _peer(context)) as exchange:
            body = await _accepted(exchange, context)
        await messages.write(context, transcoding.answer(rpc, body))

    async def _many(self, rpc: Rpc, request: Request, headers: Pairs, context: Any) -> None:
        with self._asked(request, [*headers, _EVENTS], _peer(context)) as exchange:
            try:
                async for event in events(await _begun(exchange, context)):
                    await messages.write(context, transcoding.answer(rpc, event))
            finally:
                exchange.task.cancel()

    @contextmanager
    def _asked(self, request: Request, headers: Pairs, peer: Peer) -> Iterator[Exchange]:
        exchange = Exchange(self._app, request, headers, peer)
        self._running.add(exchange.task)
        exchange.task.add_done_callback(self._ended)
        try:
            yield exchange
        finally:
            exchange.leave()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log_place(error)


def _log_place(error: BaseException) -> None:
    """Where a bug is; never its text, which may quote what was asked."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("gRPC: unexpected %s\n%s", type(error).__name__, where)


async def _accepted(exchange: Exchange, context: Any) -> bytes:
    """The body of an answer. Raises: Failure: it is an error."""
    return b"".join([part async for part in await _begun(exchange, context)])


async def _begun(exchange: Exchange, context: Any) -> AsyncIterator[bytes]:
    status, headers = await exchange.begin()
    context.set_trailing_metadata(tuple((name, headers[name]) for name in _TOLD if name in headers))
    if status >= HTTPStatus.BAD_REQUEST:
        raise of_answer(status, headers, b"".join([part async for part in exchange.parts()]))
    return exchange.parts()


def _failure(answer: Response) -> Failure:
    return of_answer(answer.status_code, answer.headers, bytes(answer.body))


def _headers(context: Any) -> Pairs:
    """Metadata as headers, but what is the transport's own, or binary."""
    given = [(name, value) for name, value in context.invocation_metadata() if isinstance(value, str)]
    kept = [(name, value) for name, value in given if name not in _OF_THE_TRANSPORT and not name.startswith("grpc-")]
    return [(b"content-type", b"application/json"), *((name.encode(), value.encode("latin-1")) for name, value in kept)]


def _numbered(headers: Pairs, number: int) -> Pairs:
    """For a request of several in one call: each has an idempotency key of its own."""
    return [(name, value + b"/%d" % number if name == _KEY else value) for name, value in headers]


def _peer(context: Any) -> Peer:
    _, _, address = context.peer().partition(":")
    host, _, port = unquote(address).rpartition(":")
    shown = context.auth_context()
    certificates = [each.decode() for each in shown.get("x509_pem_cert", ())]
    return Peer(host.strip("[]"), int(port), "transport_security_type" in shown, certificates)
