# SPDX-License-Identifier: Apache-2.0
"""Devices at a broker in memory, driven by the least of C2s."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from e4core.client import Client
from e4core.command import Command
from e4core.errors import StorageError
from e4core.keys import TopicKey
from e4core.plugins import load_suite
from e4core.report import Ack
from e4core.state import State
from e4core.suite import Suite
from e4core.transport import Transport
from e4device.runtime import Device
from e4transports.memory import MemoryBroker
from tests.device.c2 import Enrolled, TinyC2, next_of

PATIENCE_S = 20.0
TOPIC = "weather/attic"


class Storage:
    """Where a client saves; `full` makes it refuse."""

    def __init__(self) -> None:
        self.saved: list[State] = []
        self.full = False

    def save(self, state: State) -> None:
        if self.full:
            raise StorageError("the disk is full")
        self.saved.append(state)


@dataclass
class Fleet:
    suite: Suite
    broker: MemoryBroker
    c2: TinyC2
    link: Transport

    def device(
        self, enrolled: Enrolled, *, storage: Storage | None = None, hello_delay_s: float = 0, backlog: int = 10_000
    ) -> Device:
        client = Client(self.suite, enrolled.state, (storage or Storage()).save)
        transport = self.broker.connect(enrolled.client_id.hex())
        return Device(client, transport, hello_delay_s=hello_delay_s, backlog=backlog)

    async def command(self, enrolled: Enrolled, command: Command) -> Ack:
        """Send ``command`` and wait for its ack."""
        data = enrolled.seal(command, time.time())
        await self.link.publish(enrolled.control_topic, data, 2)
        return await self.ack_of(enrolled, data)

    async def ack_of(self, enrolled: Enrolled, data: bytes) -> Ack:
        while True:
            ack = await next_of(Ack, enrolled, self.link)
            if ack.subject == data[8:24]:
                return ack

    async def give_key(self, topic: str, key: TopicKey, *devices: Enrolled) -> None:
        for device in devices:
            await self.command(device, self.c2.topic_key(topic, key))
            if not self.suite.is_symmetric:
                for peer in devices:
                    await self.command(device, self.c2.introduce(peer))


Story = Callable[[Fleet], Awaitable[None]]


def tell(story: Story, suite: str = "sk") -> None:
    async def told() -> None:
        async with asyncio.timeout(PATIENCE_S), fleet(load_suite(suite)) as ready:
            await story(ready)

    asyncio.run(told())


@asynccontextmanager
async def fleet(suite: Suite) -> AsyncIterator[Fleet]:
    broker = MemoryBroker()
    async with broker.connect() as link:
        await link.subscribe("e4/+/report")
        yield Fleet(suite, broker, TinyC2(suite), link)


async def next_payload(device: Device) -> bytes:
    return (await anext(device.messages())).message.payload


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
        await asyncio.sleep(0.005)
