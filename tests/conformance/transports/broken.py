# SPDX-License-Identifier: Apache-2.0
"""Transports of which each is wrong in one way, ``broken:WAY``, over links that can break though all is in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from types import TracebackType
from typing import Any, Self

from e4core.errors import InvalidInput, TransportError
from e4core.transport import Incoming, Transport
from e4transports.memory import MemoryBroker

BROKER = MemoryBroker()
MAX_PAYLOAD_LEN = 2 * 1024 * 1024
_numbers = count(1)
_links: dict[str, MemoryLink] = {}


class MemoryLink:
    """An `e4conformance.transports.subject.Link`."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.transports: list[Right] = []
        self._held = False

    def cut(self) -> None:
        for transport in self.transports:
            transport.lost()
        if not self._held:
            asyncio.get_running_loop().call_later(0.01, self._connect)

    def hold(self) -> None:
        self._held = True

    def release(self) -> None:
        self._held = False
        self._connect()

    def _connect(self) -> None:
        for transport in self.transports:
            transport.found()


def link_of(way: str) -> Callable[[], Any]:
    @asynccontextmanager
    async def link() -> AsyncIterator[MemoryLink]:
        uri = f"broken:{way}?{next(_numbers)}"
        _links[uri] = MemoryLink(uri)
        yield _links[uri]
        del _links[uri]

    return link


class Right:
    """As it should be."""

    def __init__(self, uri: str, client_id: str) -> None:
        self._uri = uri
        self._inner = BROKER.connect(client_id)
        self._up = asyncio.Event()
        self._turn = asyncio.Lock()
        self._open = False
        self.connections = 0
        self.topics: dict[str, None] = {}

    @property
    def max_qos(self) -> int:
        return 2

    @property
    def connected(self) -> bool:
        return self._open and self._up.is_set()

    async def __aenter__(self) -> Self:
        if "?" in self._uri:
            if self._uri not in _links:
                raise TransportError("nobody listens there")
            _links[self._uri].transports.append(self)
        await self._inner.__aenter__()
        self._open, self.connections = True, 1
        self._up.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._open = False
        self._up.set()
        await self._inner.__aexit__(kind, error, trace)

    def lost(self) -> None:
        if self._open:
            self._up.clear()

    def found(self) -> None:
        if self._open and not self._up.is_set():
            self.connections += 1
            self._up.set()

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        if len(payload) > MAX_PAYLOAD_LEN:
            await self._oversize()
            return
        async with self._turn:
            await self._ready()
            await self._inner.publish(topic, payload, qos)

    async def subscribe(self, topic: str, /) -> None:
        await self._ready()
        await self._inner.subscribe(topic)
        self.topics[topic] = None

    async def unsubscribe(self, topic: str, /) -> None:
        await self._ready()
        await self._inner.unsubscribe(topic)
        self.topics.pop(topic, None)

    def __aiter__(self) -> AsyncIterator[Incoming]:
        return self

    async def __anext__(self) -> Incoming:
        return await anext(aiter(self._inner))

    async def _ready(self) -> None:
        if self._open:
            await self._up.wait()
        if not self._open:
            raise TransportError("closed")

    async def _oversize(self) -> None:
        raise TransportError(f"more than {MAX_PAYLOAD_LEN} bytes")


class Reorders(Right):
    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        if payload.endswith(b"7"):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await super().publish(topic, payload, qos)


class DropsAtReconnect(Right):
    """What waited while the link was down is forgotten."""

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        async with self._turn:
            waited = self._open and not self._up.is_set()
            await self._ready()
            if not waited:
                await self._inner.publish(topic, payload, qos)


class ForgetsSubscriptions(Right):
    def found(self) -> None:
        for topic in self.topics:
            BROKER._unsubscribe(self._inner._session, topic)
        super().found()


class DuplicatesAtReconnect(Right):
    _last: tuple[str, bytes] | None = None

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        await super().publish(topic, payload, qos)
        self._last = topic, payload

    def found(self) -> None:
        super().found()
        if self._last:
            BROKER.publish(*self._last)


class BlocksUnderASlowReader(Right):
    unread = 0
    readers = 0

    async def subscribe(self, topic: str, /) -> None:
        await super().subscribe(topic)
        BlocksUnderASlowReader.readers += 1

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        while self.unread > 700:  # noqa: ASYNC110  # wrong on purpose
            await asyncio.sleep(0.01)
        BlocksUnderASlowReader.unread += self.readers
        await super().publish(topic, payload, qos)

    async def __anext__(self) -> Incoming:
        incoming = await super().__anext__()
        BlocksUnderASlowReader.unread -= 1
        return incoming


class ChangesPayloadType(Right):
    async def __anext__(self) -> Incoming:
        topic, payload = await super().__anext__()
        return Incoming(topic, bytearray(payload))  # type: ignore[arg-type]


class DecodesPayloads(Right):
    async def __anext__(self) -> Incoming:
        topic, payload = await super().__anext__()
        return Incoming(topic, payload.decode(errors="replace").encode())


class SwallowsOversize(Right):
    async def _oversize(self) -> None:
        return


class Retains(Right):
    kept: dict[str, bytes] = {}  # noqa: RUF012  # as a broker keeps it: for all

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        await super().publish(topic, payload, qos)
        self.kept[topic] = payload

    async def subscribe(self, topic: str, /) -> None:
        await super().subscribe(topic)
        if topic in self.kept:
            self._inner._inbox.put(Incoming(topic, self.kept[topic]))


class WorksOutside(Right):
    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        if self._open:
            await super().publish(topic, payload, qos)


class HangsWhenClosed(Right):
    """Who waits for an answer is told nothing."""

    async def _ready(self) -> None:
        if not self._open:
            raise TransportError("closed")
        while not (self._open and self._up.is_set()):  # noqa: ASYNC110  # wrong on purpose
            await asyncio.sleep(0.01)


class DropsUnreadAtClose(Right):
    def __aiter__(self) -> AsyncIterator[Incoming]:
        return self

    async def __anext__(self) -> Incoming:
        if not self._open:
            raise StopAsyncIteration
        return await super().__anext__()


class SendsWhatWasGivenUp(Right):
    def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> Awaitable[None]:  # type: ignore[override]
        return asyncio.shield(asyncio.ensure_future(super().publish(topic, payload, qos)))


class NeverConnects(Right):
    attempts = 0

    async def __aenter__(self) -> Self:
        NeverConnects.attempts += 1
        await asyncio.Event().wait()
        return self


class RaisesWhenOpened(Right):
    async def __aenter__(self) -> Self:
        raise RuntimeError("no way")


BROKEN: dict[type[Right], str] = {
    Reorders: "E4-TDEL-003",
    DropsAtReconnect: "E4-TLNK-010",
    ForgetsSubscriptions: "E4-TLNK-002",
    DuplicatesAtReconnect: "E4-TLNK-011",
    BlocksUnderASlowReader: "E4-TDEL-004",
    ChangesPayloadType: "E4-TDEL-002",
    DecodesPayloads: "E4-TDEL-002",
    SwallowsOversize: "E4-TDEL-006",
    Retains: "E4-TDEL-007",
    WorksOutside: "E4-TLIF-001",
    DropsUnreadAtClose: "E4-TLIF-002",
    HangsWhenClosed: "E4-TLNK-020",
    SendsWhatWasGivenUp: "E4-TLNK-021",
}
"""What is wrong -> the requirement that says so."""
_ALL: tuple[type[Right], ...] = (Right, NeverConnects, RaisesWhenOpened, *BROKEN)
_KINDS = {kind.__name__: kind for kind in _ALL}


def load(uri: str, client_id: str) -> Transport:
    way = uri.partition(":")[2].partition("?")[0]
    if way not in _KINDS:
        raise InvalidInput("broken:WAY")
    return _KINDS[way](uri, client_id)
