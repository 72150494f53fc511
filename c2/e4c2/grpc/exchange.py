# SPDX-License-Identifier: Apache-2.0
"""One HTTP request to the application in this process, and its answer as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Scope

from e4c2.grpc.transcoding import Request


@dataclass(frozen=True, slots=True)
class Peer:
    """Who calls: ``host`` and ``port``, PEM of the certificate that was shown, if any, and what stands in the metadata."""

    host: str
    port: int
    certificate: str | None
    headers: Sequence[tuple[bytes, bytes]]

    @property
    def encrypted(self) -> bool:
        return self.certificate is not None


class Exchange:
    """A request at work. It goes on when nobody waits for it any more, as what was begun is to be finished; a stream does not."""

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes) -> None:
        self._app = app
        self._scope = scope
        self._bodies = [body]
        self._gone = asyncio.Event()
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self.task = asyncio.create_task(self._run())
        self.status = 0
        self.headers: Mapping[str, str] = {}

    async def begin(self) -> None:
        """Wait for status and headers."""
