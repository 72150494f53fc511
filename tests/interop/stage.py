# SPDX-License-Identifier: Apache-2.0
"""A C2, a sensor like e4go (its witness), and a gateway of ours, at a real broker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from e4c2 import clients, links, topics
from e4core.suite import Suite
from e4core.transport import Transport
from e4device.statefile import StateFile
from e4transports.mqtt import open_transport
from tests.interop.c2 import C2, serving
from tests.interop.devices import (
    E4goDevice,
    OurDevice,
    e4go_device,
    new_e4go_client,
    new_our_state,
    our_device,
)
from tests.interop.e4go_crypto import topic_hash

TOPIC = "plant/line 1/temperature"


@dataclass
class Stage:
    """A C2, a sensor like e4go, a gateway of ours, and a wire to publish raw bytes."""

    suite: Suite
    folder: Path
    broker: str
    c2: C2
    sensor: E4goDevice
    gateway: OurDevice
    wire: Transport

    @property
    def signs(self) -> bool:
        return not self.suite.is_symmetric

    async def bring_together(self) -> None:
        """Both become members of `TOPIC` and, where messages are signed, hold each other's public key."""
        await self.c2.do(topics.create, TOPIC)
        await self.c2.ends(await self.c2.do(topics.join, TOPIC, ["sensor", "gateway"]), sent=1, confirmed=1)
        await self.sensor.hears("SetTopicKey")
        if self.signs:
            await self.c2.ends(await self.c2.do(links.send, "sensor", "gateway"), sent=1)
            await self.c2.ends(await self.c2.do(links.send, "gateway", "sensor"), confirmed=1)
            await self.sensor.hears("SetPubKey")
        for device in (self.sensor, self.gateway):
            await device.subscribe(TOPIC)

    async def rotate(self, *heard: str) -> None:
        """A rotation, that reaches both; the sensor hears just this of it."""
        before = self.key()
        await self.c2.ends(await self.c2.do(topics.rotate, TOPIC), sent=1, confirmed=1)
        await self.sensor.hears(*heard)
        assert self.key() != before

    def key(self) -> bytes:
        """Key of `TOPIC` at the sensor."""
        return self.sensor.client.topic_keys[topic_hash(TOPIC).hex()]

    async def talk(self, text: str) -> None:
        """One message each way on `TOPIC`."""
        up, down = f"{text}: 21 °C".encode(), f"{text}: set to 19 °C".encode()
        await self.sensor.publish(TOPIC, up)
        await self.are_read(sensors=up)
        await self.gateway.publish(TOPIC, down)
        await self.are_read(gateways=down)

    async def are_read(self, sensors: bytes | None = None, gateways: bytes | None = None) -> None:
        """A message of the sensor, or of the gateway, is the next that both read; who signed it holds no key to check itself."""
        payload = sensors or gateways or b""
        if sensors or not self.signs:
            await self.gateway.reads(payload)
        await self.sensor.reads("unknown_sender" if sensors and self.signs else payload)

    def late(self) -> tuple[bytes, bytes]:
        """A message of the sensor and one of the gateway, not sent yet."""
        now = time.time()
        up = self.sensor.client.protect(b"late up", TOPIC, now)
        return up, self.gateway.client.protect(b"late down", TOPIC, now)

    async def end(self) -> None:
        """The sensor heard nothing else, and to the C2 it is a device that was sent all and confirmed nothing."""
        await self.sensor.hears_nothing_else()
        assert self.sensor.seconds == sorted(self.sensor.seconds)
        assert not (await self.c2.ask(clients.show, "sensor")).reports
        # what an operator confirms is confirmed
        states = {each.state for each in await self.c2.deliveries("sensor") if each.kind != "id_key"}
        assert states <= {"sent", "superseded"}


@asynccontextmanager
async def staged(suite: Suite, broker: str, folder: Path) -> AsyncIterator[Stage]:
    async with serving(folder, suite, broker) as c2, open_transport(broker, "") as wire:
        sensors, gateways = suite.device.generate(), suite.device.generate()
        client = new_e4go_client(suite, "sensor", sensors, await c2.enrol("sensor", sensors), folder / "sensor.json")
        state = new_our_state(suite, "gateway", gateways, await c2.enrol("gateway", gateways))
        with StateFile(folder / "gateway.json") as file, client.store:
            file.create(state)
            async with (
                e4go_device(client, broker, "sensor") as sensor,
                our_device(suite, state, file, broker, "gateway") as gateway,
            ):
                yield Stage(suite, folder, broker, c2, sensor, gateway, wire)
