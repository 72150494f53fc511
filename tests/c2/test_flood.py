# SPDX-License-Identifier: Apache-2.0
"""A C2 at a real broker at which somebody makes noise."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from e4backends.sk import SUITE
from e4c2 import clients
from e4c2.delivery import Courier
from e4core.client import Client
from e4core.keys import ClientId, Secret, report_topic
from e4core.plugins import load_transport
from e4core.report import LONGEST
from e4core.state import new_state
from e4device.runtime import Device
from e4transports.memory import MemoryBroker
from tests.c2.served import PATIENCE_S, serving, settings_in
from tests.c2.world import World
from tests.servers import Mosquitto

NOISE = 500


@contextmanager
def reports_taken() -> Iterator[list[str]]:
    """The savepoints of all databases of this process: the C2 makes one for each report that it looks at."""
    seen: list[str] = []

    def note(_db: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SAVEPOINT"):
            seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


async def make_noise(broker: str, victim: str) -> None:
    """As the victim: no reports; as nobody: what could be ones."""
    async with load_transport(broker, "") as link:
        for _ in range(NOISE):
            await link.publish(report_topic(ClientId.fromhex(victim)), b"\0" + os.urandom(80), 0)
            await link.publish(report_topic(ClientId(os.urandom(16))), b"\2\2" + os.urandom(LONGEST - 2), 0)
        await link.publish("done", b"", 1)


def test_noise_costs_no_transaction_and_a_device_is_answered_all_the_same(tmp_path: Path, mosquitto: Mosquitto) -> None:
    key = os.urandom(32)
    lamp = ClientId(SUITE.derive_id("lamp"))

    async def story() -> Device:
        async with asyncio.timeout(PATIENCE_S):
            await make_noise(mosquitto.uri, victim)
            client = Client(SUITE, new_state(SUITE, lamp, Secret(key)), lambda _state: None)
            async with Device(client, load_transport(mosquitto.uri, lamp.hex()), hello_delay_s=0) as device:
                await device.wait_synchronised()
            return device

    with serving(settings_in(tmp_path, broker=mosquitto.uri)) as c2:
        victim = c2.client("victim")
        c2.client("lamp", key)
        with reports_taken() as taken:
            device = asyncio.run(story())
    assert 1 <= len(taken) <= device.counters.hellos + sum(device.counters.commands.values())


def test_a_client_that_was_removed_costs_one_more_look_and_then_none(sk: World) -> None:
    a = sk.add("a")
    reports = [a.hello(sk.clock.now) for _ in range(4)]

    async def story(taken: list[str]) -> list[int]:
        broker, looks = MemoryBroker(), []
        async with asyncio.timeout(PATIENCE_S), broker.connect("c2") as link, asyncio.TaskGroup() as tasks:
            courier = Courier(sk.store, sk.realm, link)
            at_work = tasks.create_task(courier.run())
            await asyncio.sleep(0.1)
            for number, report in enumerate(reports):
                broker.publish(report_topic(a.id), report)
                while len(taken) + courier.refused["key_missing"] <= number:  # noqa: ASYNC110  # counted elsewhere
                    await asyncio.sleep(0.01)
                if number == 0:
                    await asyncio.to_thread(sk.do, clients.remove, "a")
                await asyncio.sleep(0.05)
                looks.append(len(taken))
            at_work.cancel()
        return looks

    with reports_taken() as taken:
        assert asyncio.run(story(taken)) == [1, 2, 2, 2]
