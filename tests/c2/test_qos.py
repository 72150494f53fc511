# SPDX-License-Identifier: Apache-2.0
"""Commands and reports travel at QoS 2: the transport lowers that to what it can, and nothing here does."""

from __future__ import annotations

import asyncio

from e4c2 import topics
from e4c2.delivery import Courier
from e4core.client import Client
from e4core.keys import control_topic
from e4device.runtime import Device
from e4transports.memory import MemoryBroker
from tests.c2.world import World
from tests.device.c2 import TinyC2

PATIENCE_S = 10.0


class Watched(MemoryBroker):
    """Knows at which QoS everything came."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def publish(self, topic: str, payload: bytes, qos: int = 2) -> None:
        self.seen.put_nowait((topic, qos))
        super().publish(topic, payload, qos)


def test_a_command_travels_at_qos_2(sk: World) -> None:
    sk.add("a")
    sk.do(topics.create, "t")
    sk.do(topics.join, "t", ["a"])

    async def story() -> tuple[str, int]:
        broker = Watched()
        async with asyncio.timeout(PATIENCE_S), broker.connect("c2") as link:
            running = asyncio.create_task(Courier(sk.store, sk.realm, link).run())
            seen = await broker.seen.get()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return seen

    assert asyncio.run(story()) == (control_topic(sk.devices["a"].id), 2)


def test_a_report_travels_at_qos_2(sk: World) -> None:
    enrolled = TinyC2(sk.suite).enrol("a")

    async def story() -> tuple[str, int]:
        broker = Watched()
        client = Client(sk.suite, enrolled.state, lambda state: None)
        async with asyncio.timeout(PATIENCE_S), Device(client, broker.connect("a"), hello_delay_s=0):
            return await broker.seen.get()

    assert asyncio.run(story()) == (f"{enrolled.control_topic}/report", 2)
