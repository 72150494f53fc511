# SPDX-License-Identifier: Apache-2.0
"""One HTTP request to the application in this process, and its answer as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

from e4c2.grpc.transcoding import Request
from e4core.errors import E4Error


@dataclass(frozen=True, slots=True)
class Peer:
    """Who calls. ``certificates``: PEM of those that were shown.  ``is_encrypted``: by TLS."""

    host: str
    port: int
    is_encrypted: bool
    certificates: Sequence[str]


class Exchange:
    """A request at work. One that is left goes on, as what was begun is to be finished; one for a stream ends."""

    def __init__(self, app: ASGIApp, request: Request, headers: Sequence[tuple[bytes, bytes]], peer: Peer) -> None:
        self._app = app
        self._scope = _scope(request, headers, peer)
        self._body = [request.body]
        self._left = asyncio.Event()
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._taken = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def begin(self) -> tuple[int, Headers]:
        """Status and headers of the answer."""
        message = await self._next()
        return message["status"], Headers(raw=message["headers"])

    async def parts(self) -> AsyncIterator[bytes]:
        """The body of the answer, as it comes; no more is made than is taken."""
        while True:
            message = await self._next()
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return
            self._taken.set()

    async def body(self) -> bytes:
        return b"".join([part async for part in self.parts()])

    def leave(self) -> None:
        """Tell the application that nobody waits any more."""
        self._left.set()
        self._taken.set()

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            self._sent.put_nowait(None)

    async def _next(self) -> Message:
        message = await self._sent.get()
        if message is None:
            raise E4Error("the answer broke off")
        return message

    async def _receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._taken.clear()
        self._sent.put_nowait(message)
        if message.get("more_body", False) and not self._left.is_set():
            await self._taken.wait()


def _scope(request: Request, headers: Sequence[tuple[bytes, bytes]], peer: Peer) -> Scope:
    extensions: dict[str, Any] = {"tls": {"client_cert_chain": list(peer.certificates)}} if peer.is_encrypted else {}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "2",
        "method": request.verb,
        "scheme": "https" if peer.is_encrypted else "http",
        "path": request.path,
        "raw_path": request.raw_path,
        "query_string": request.query,
        "root_path": "",
        "headers": list(headers),
        "client": (peer.host, peer.port),
        "server": None,
        "state": {},
        "extensions": extensions,
    }
