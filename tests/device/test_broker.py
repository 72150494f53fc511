# SPDX-License-Identifier: Apache-2.0
"""A device at a real broker, which comes and goes."""

from __future__ import annotations

import asyncio
import time

import pytest

from e4core.client import Client
from e4core.command import RemoveTopic
from e4core.keys import TopicHash
from e4core.plugins import load_suite, load_transport
from e4core.report import Ack, Hello
from e4core.state import State
from e4core.transport import Transport
from e4device.runtime import Device
from tests.device.c2 import Enrolled, TinyC2, new_key, next_of
from tests.servers import Mosquitto

PATIENCE_S = 60.0
TOPIC = "weather/attic"


def running(uri: str, enrolled: Enrolled, saved: list[State]) -> Device:
    client = Client(enrolled.suite, enrolled.state, saved.append)
    return Device(client, load_transport(uri, enrolled.client_id.hex()), hello_delay_s=0)


async def hello_and_sync(device: Enrolled, link: Transport) -> bytes:
    """Answer the next hello, as a C2 does; returns its nonce."""
    nonce = (await next_of(Hello, device, link)).nonce
    await link.publish(device.control_topic, device.seal(RemoveTopic(TopicHash(nonce)), time.time()), 2)
    await next_of(Ack, device, link)
    return nonce


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_after_a_restart_of_the_broker_devices_say_hello_again_and_go_on(mosquitto: Mosquitto, version: str) -> None:
    uri = f"{mosquitto.uri}?version={version}"

    async def story() -> None:
        c2 = TinyC2(load_suite("sk"))
        alice, bob = c2.enrol("alice"), c2.enrol("bob")
        saved: list[State] = []
        key = new_key()
        async with load_transport(uri, "c2") as link:
            await link.subscribe("e4/+/report")
            async with running(uri, alice, saved) as a, running(uri, bob, saved) as b:
                first = await hello_and_sync(alice, link)
                for device in (alice, bob):
                    command = device.seal(c2.topic_key(TOPIC, key), time.time())
                    await link.publish(device.control_topic, command, 2)
                    await next_of(Ack, device, link)
                await b.subscribe(TOPIC)
                await a.publish(TOPIC, b"before")
                assert (await anext(b.messages())).message.payload == b"before"

                await asyncio.to_thread(mosquitto.kill)
                waiting = asyncio.ensure_future(a.publish(TOPIC, b"meanwhile"))
                while a.connected:  # noqa: ASYNC110  # a property is all there is
                    await asyncio.sleep(0.01)
                await asyncio.to_thread(mosquitto.start)

                assert await hello_and_sync(alice, link) != first
                assert a.synchronised
                await waiting
                await a.publish(TOPIC, b"after")
                got = {(await anext(b.messages())).message.payload}
                while b"after" not in got:
                    got.add((await anext(b.messages())).message.payload)
                assert (a.counters.reconnects, a.counters.published) == (1, 3)
        assert saved[-1].clean

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))


def test_an_outage_that_nobody_saw_makes_a_device_say_hello_again(mosquitto: Mosquitto) -> None:
    async def story() -> None:
        alice = TinyC2(load_suite("sk")).enrol("alice")
        async with running(mosquitto.uri, alice, []) as device:
            async with load_transport(mosquitto.uri, "c2") as link:
                await link.subscribe(alice.report_topic)
                first = await hello_and_sync(alice, link)
            mosquitto.kill()  # in the event loop, on purpose: it sees nothing of the outage
            mosquitto.start()
            time.sleep(1.5)  # noqa: ASYNC251
            async with load_transport(mosquitto.uri, "c2") as link:
                await link.subscribe(alice.report_topic)
                assert await hello_and_sync(alice, link) != first
            assert (device.counters.reconnects, device.synchronised) == (1, True)

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))
