# SPDX-License-Identifier: Apache-2.0
"""The broker as somebody sees it who owns it, or has broken in: every byte, and any byte sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from e4core.errors import TransportError
from e4core.transport import Incoming, Transport

_HEARING_S = 10.0
_POLL_S = 0.01


async def eventually(condition: Callable[[], bool], patience_s: float) -> bool:
    """Whether ``condition`` comes true in time."""
    for _ in range(int(patience_s / _POLL_S)):
        if condition():
            return True
        await asyncio.sleep(_POLL_S)
    return condition()


class Eavesdropper:
    """Subscribed to everything. ``ours`` says which topics are of this demo; a broker may carry others."""

    def __init__(self, transport: Transport, ours: Callable[[str], bool]) -> None:
        self.seen: list[Incoming] = []
        self._transport = transport
        self._ours = ours

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        self._listening = asyncio.create_task(self._listen())
        await self._transport.subscribe("#")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._listening.cancel()
        await self._transport.__aexit__(kind, error, trace)

    def on(self, topic: str) -> list[bytes]:
        """What passed on ``topic`` so far."""
        return [payload for name, payload in self.seen if name == topic]

    async def hear(self, topic: str, count: int) -> bytes:
        """The payload that is number ``count`` (from 0) on ``topic``. Raises: TransportError: it does not come."""
        if not await eventually(lambda: len(self.on(topic)) > count, _HEARING_S):
            raise TransportError("the broker does not let the demo subscribe to #; choose another one with --broker")
        return self.on(topic)[count]

    async def send(self, topic: str, payload: bytes) -> None:
        """Publish whatever one likes."""
        await self._transport.publish(topic, payload)

    async def _listen(self) -> None:
        async for incoming in self._transport:
            if self._ours(incoming.topic):
                self.seen.append(incoming)
