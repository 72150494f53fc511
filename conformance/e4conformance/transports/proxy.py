# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy whose links break, or fall silent, when a check wants it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to ``target_port`` of ``target_host``, as long as the ``async with`` lasts.

    Args: cut_after: bytes, counted in both directions, after which each connection is cut, in the midst of a packet; 0 is never.
    Attributes: port: where it listens, on the loopback interface. cuts: how many connections were cut by their length.
    """

    def __init__(self, target_port: int, cut_after: int = 0, target_host: str = "127.0.0.1") -> None:
        self.port = 0
        self.cuts = 0
        self._target = (target_host, target_port)
        self._cut_after = cut_after
        self._to_client: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections, now."""
        for connection in self._connections:
            connection.cancel()

    def hold(self) -> None:
        """From now on nothing passes, in no direction; connections are accepted still."""
        self._flows.clear()

    def release(self) -> None:
        self._flows.set()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        # a task that is cancelled before its first step cleans nothing up
        connection.add_done_callback(lambda _: writer.transport.abort())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        ways: list[asyncio.Task[None]] = []
        try:
            broker_reader, broker_writer = await asyncio.open_connection(*self._target)
            ends.append(broker_writer)
            self._to_client.add(writer)
            budget = _Budget(self._cut_after)
            ways.append(asyncio.create_task(self._forward(reader, broker_writer, budget)))
            ways.append(asyncio.create_task(self._forward(broker_reader, writer, budget)))
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            self.cuts += budget.spent
        finally:
            self._to_client.discard(writer)
            for way in ways:
                way.cancel()
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: _Budget) -> None:
        with suppress(ConnectionError):
            while not budget.spent and (data := await reader.read(4096)):
                await self._flows.wait()
                writer.write(budget.take(data))
                await writer.drain()


class _Budget:
    def __init__(self, length: int) -> None:
        self._limited = length > 0
        self._left = length

    @property
    def spent(self) -> bool:
        return self._limited and self._left == 0

    def take(self, data: bytes) -> bytes:
        if self._limited:
            data = data[: self._left]
            self._left -= len(data)
        return data
