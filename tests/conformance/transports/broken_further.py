# SPDX-License-Identifier: Apache-2.0
"""More transports of which each is wrong in one way, as `tests.conformance.transports.broken`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from e4core.errors import InvalidInput, TransportError
from e4core.transport import Incoming, Transport
from tests.conformance.transports import broken
from tests.conformance.transports.broken import DecodesPayloads, Reorders, Retains, Right


class DeliversTwice(Right):
    """What it takes for QoS 2."""

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        for _ in range(1 + (qos == 2)):
            await super().publish(topic, payload, qos)


class StripsTopics(Right):
    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        await super().publish(topic.strip("/"), payload, qos)


class CutsTopics(Right):
    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        await super().publish(topic[:1024], payload, qos)

    async def subscribe(self, topic: str, /) -> None:
        await super().subscribe(topic[:1024])


class TakesAnyTopic(Right):
    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        with suppress(InvalidInput):
            await super().publish(topic, payload, qos)


class TakesAnyFilter(Right):
    async def subscribe(self, topic: str, /) -> None:
        with suppress(InvalidInput):
            await super().subscribe(topic)


class CoversLess(Right):
    """To it ``a/#`` begins below ``a``."""

    async def subscribe(self, topic: str, /) -> None:
        await super().subscribe(topic.replace("/#", "/+/#"))


class OpensDollarTopics(Right):
    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        await super().publish(topic.removeprefix("$"), payload, qos)


class NeverUnsubscribes(Right):
    async def unsubscribe(self, topic: str, /) -> None:
        await self._ready()


class ForgetsWhatWaits(Right):
    """It subscribes only where there is a connection."""

    async def subscribe(self, topic: str, /) -> None:
        if self._open and not self._up.is_set():
            return
        await super().subscribe(topic)


class LosesOnCancel(Right):
    """Who gave up reading still gets the next message."""

    async def __anext__(self) -> Incoming:
        return await asyncio.shield(asyncio.ensure_future(super().__anext__()))


class BlocksOnCancel(Right):
    def __init__(self, uri: str, client_id: str) -> None:
        super().__init__(uri, client_id)
        self._sending = asyncio.Lock()

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        await self._sending.acquire()
        await asyncio.sleep(0)
        await super().publish(topic, payload, qos)
        self._sending.release()


class KeepsNoSession(Right):
    def __init__(self, uri: str, _client_id: str) -> None:
        super().__init__(uri, "")


class RaisesRaw(Right):
    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except TransportError as error:
            raise ConnectionRefusedError("connection refused") from error


class ShowsPassword(Right):
    def __init__(self, uri: str, client_id: str) -> None:
        super().__init__(uri.partition("?")[0], client_id)
        self._login = uri

    def __repr__(self) -> str:
        return f"ShowsPassword({self._login})"


class ReadsUrisRaw(Right):
    """Its factory takes them for ASCII, see `load`."""


class StaysAway(Right):
    """It does not connect again."""

    def found(self) -> None:
        pass


FURTHER: dict[type[Right], str] = {
    DeliversTwice: "E4-TDEL-001",
    DecodesPayloads: "E4-TDEL-005",
    StripsTopics: "E4-TTOP-001",
    CutsTopics: "E4-TTOP-002",
    TakesAnyTopic: "E4-TTOP-003",
    TakesAnyFilter: "E4-TTOP-004",
    CoversLess: "E4-TTOP-005",
    OpensDollarTopics: "E4-TTOP-006",
    NeverUnsubscribes: "E4-TTOP-007",
    StaysAway: "E4-TLNK-001",
    ForgetsWhatWaits: "E4-TLNK-003",
    Reorders: "E4-TLNK-012",
    LosesOnCancel: "E4-TLIF-003",
    BlocksOnCancel: "E4-TLIF-004",
    KeepsNoSession: "E4-TLIF-005",
    Retains: "E4-TLIF-006",
    RaisesRaw: "E4-TLIF-007",
    ReadsUrisRaw: "E4-TLIF-008",
    ShowsPassword: "E4-TSEC-001",
}
"""What is wrong -> the requirement that says so."""
_KINDS = {kind.__name__: kind for kind in FURTHER}


def load(uri: str, client_id: str) -> Transport:
    """As `broken.load`, of these."""
    kind = _KINDS.get(uri.partition(":")[2].partition("?")[0])
    if kind is None and "Uris" in uri:
        uri.encode("ascii")
    return kind(uri, client_id) if kind else broken.load(uri, client_id)
