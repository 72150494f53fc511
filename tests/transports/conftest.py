# SPDX-License-Identifier: Apache-2.0
"""Real brokers for tests of MQTT, and how what arrives there is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e4core.transport import Incoming, Transport
from e4transports.mqtt import open_transport
from tests.servers import Mosquitto

Connect = Callable[[str], Transport]
"""A transport for this client id, not yet connected."""
Story = Callable[[Connect], Awaitable[None]]

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Place:
    """A kind of broker; ``max_qos`` is the promise that it keeps."""

    max_qos: int
    broker: Callable[[], AbstractAsyncContextManager[Connect]]

    def tell(self, story: Story) -> None:
        """Run ``story`` against the broker, in an event loop of its own."""

        async def told() -> None:
            async with asyncio.timeout(PATIENCE_S), self.broker() as connect:
                await story(connect)

        asyncio.run(told())


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """The password file of an embedded broker."""
    return password_file(tmp_path / "a password")


def password_file(path: Path, text: str = "right") -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path


def real(server: Mosquitto, version: str) -> Place:
    @asynccontextmanager
    async def broker() -> AsyncIterator[Connect]:
        yield lambda client_id: open_transport(f"{server.uri}?version={version}", client_id)

    return Place(2, broker)


async def receive(transport: Transport, count: int) -> list[Incoming]:
    """The next ``count`` messages."""
    arrivals = aiter(transport)
    return [await anext(arrivals) for _ in range(count)]


async def nothing_else(transport: Transport, through: Transport, topic: str) -> None:
    """Fails if anything is still to come before a last message that is published ``through`` another transport."""
    await through.publish(topic, b"last", 1)
    assert await receive(transport, 1) == [Incoming(topic, b"last")]
