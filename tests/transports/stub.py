# SPDX-License-Identifier: Apache-2.0
"""The least of brokers (MQTT 3.1.1), which answers subscriptions as a test says: agrees, refuses, or stays silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

AGREED, REFUSED = 0x00, 0x80
CONNECT, SUBSCRIBE = 1, 8


class StubBroker:
    """Nothing is delivered.

    Attributes: verdict: return code of each subscription (MQTT 3.1.1, section 3.9.3); None: no answer.  subscribed: event, set
    by each SUBSCRIBE.
    """

    def __init__(self, verdict: int | None = AGREED) -> None:
        self.verdict = verdict
        self.subscribed = asyncio.Event()
        self._links: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._server.close()
        self.cut()

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}?version=3.1.1&qos=0"

    def cut(self) -> None:
        for link in self._links:
            link.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind = (await reader.readexactly(1))[0] >> 4
                writer.write(self._answer(kind, await reader.readexactly(await _length(reader))))
        self._links.discard(writer)
        writer.transport.abort()

    def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == CONNECT:
            return b"\x20\x02\x00\x00"
        if kind == SUBSCRIBE:
            self.subscribed.set()
            return b"" if self.verdict is None else b"\x90\x03" + body[:2] + bytes([self.verdict])
        return b""


async def _length(reader: asyncio.StreamReader) -> int:
    """Remaining length (MQTT 3.1.1, section 2.2.3)."""
    length = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return length
