# SPDX-License-Identifier: Apache-2.0
"""SIGTERM in the midst of a rotation: what is on its way arrives or is given back, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from e4backends import sk
from e4c2 import delivery
from e4c2.delivery import WINDOW
from e4c2.model import Delivery
from tests.c2.chaos import TOPIC, Swarm
from tests.c2.served import PATIENCE_S, b64, created, operation, serving, settings_in
from tests.c2.test_app_command import Process
from tests.servers import Mosquitto, StartMosquitto

DEVICES = 300
MANY = WINDOW + 200
"""More than are on their way at once, so that a stop finds some that have not left."""


def by_state(folder: Path, rotation: str) -> dict[str, set[bytes]]:
    """The devices whose command of this operation is in each state."""
    found: dict[str, set[bytes]] = {}
    with sqlite3.connect(folder / "e4-data" / "c2.sqlite") as db:
        for state, client in db.execute(
            "SELECT state, client FROM outbox WHERE operation = ?", [bytes.fromhex(rotation)]
        ):
            found.setdefault(state, set()).add(client)
    return found


def peopled(c2: Process, swarm: Swarm) -> str:
    """A topic of these devices; its id."""
    devices = [{"name": each.name, "key": b64(bytes(each.private))} for each in swarm.members]
    made = c2.http.post("/v1/clients/batch", json={"items": devices, "all_or_none": True})
    ids = [each["item"]["id"] for each in made.raise_for_status().json()["results"]]
    topic = str(created(c2.http.post("/v1/topics", json={"name": TOPIC}))["id"])
    operation(c2.http.post(f"/v1/topics/{topic}/members", json={"clients": ids}))
    return topic


def under_way(folder: Path, c2: Process, topic: str, many: int) -> str:
    """A rotation of which so many commands are on their way, while the broker answers nothing; its id."""
    made = str(operation(c2.http.post(f"/v1/topics/{topic}/rotate"))["id"])
    deadline = time.monotonic() + PATIENCE_S
    while len(by_state(folder, made).get(Delivery.SENDING.value, ())) < many:
        assert time.monotonic() < deadline
    return made


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not done():  # noqa: ASYNC110  told by nobody
            await asyncio.sleep(0.05)


async def story(folder: Path, broker: Mosquitto, broker_takes: bool) -> None:
    """Nobody says hello after the rotation, for which the C2 would send again what got lost."""
    swarm = Swarm(sk.SUITE, MANY if broker_takes else DEVICES)

    def holders() -> dict[bytes | None, set[bytes]]:
        keys = {each.key(TOPIC) for each in swarm.members}
        return {key: {bytes(each.id) for each in swarm.members if each.key(TOPIC) == key} for key in keys}

    def all_hold_another_than(key: bytes | None) -> bool:
        return key not in holders() and len(holders()) == 1

    def start() -> Process:
        return Process(folder, E4_BROKER=broker.uri)

    def rotated(c2: Process, topic: str) -> str:
        """The broker answers nothing until the C2 was told to stop: so as much is on its way as may be, and no more."""
        broker.pause()
        made = under_way(folder, c2, topic, min(WINDOW, len(swarm.members)))
        c2.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        if broker_takes:
            broker.go_on()
        c2.http.close()
        c2.process.communicate(timeout=PATIENCE_S)
        assert c2.process.returncode == 0
        return made

    async with swarm.connected(broker.uri):
        c2 = await asyncio.to_thread(start)
        topic = await asyncio.to_thread(peopled, c2, swarm)
        swarm.greet(swarm.members)
        async with asyncio.timeout(PATIENCE_S):
            await swarm.answered()
        await until(lambda: None not in holders() and len(holders()) == 1)
        (before,) = holders()
        connections = swarm.connections
        rotation = await asyncio.to_thread(rotated, c2, topic)
        left = by_state(folder, rotation)
        assert sum(map(len, left.values())) == len(swarm.members)
        assert Delivery.SENDING.value not in left
        if broker_takes:
            assert left[Delivery.PENDING.value]
            gone = left.get(Delivery.SENT.value, set()) | left.get(Delivery.CONFIRMED.value, set())
            assert gone
            await until(lambda: not gone & holders().get(before, set()))
        else:
            assert set(left) == {Delivery.PENDING.value}
            broker.kill()
            broker.start()
            await until(lambda: swarm.connections > connections)
        c2 = await asyncio.to_thread(start)
        await until(partial(all_hold_another_than, before))
        await until(lambda: set(by_state(folder, rotation)) == {Delivery.CONFIRMED.value})
        assert (await asyncio.to_thread(c2.end, signal.SIGTERM))[0] == 0


@pytest.mark.parametrize("broker_takes", [True, False])
def test_a_stop_amid_a_rotation_leaves_nothing_claimed_and_loses_nothing(
    tmp_path: Path, start_mosquitto: StartMosquitto, broker_takes: bool
) -> None:
    asyncio.run(story(tmp_path, start_mosquitto(), broker_takes))


def test_a_second_stop_waits_for_the_broker_no_longer(
    tmp_path: Path, start_mosquitto: StartMosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "DRAIN_S", 1e6)
    broker = start_mosquitto()
    with serving(settings_in(tmp_path, broker=broker.uri)) as c2:
        topic = c2.topic(TOPIC, *(c2.client(f"d{number}") for number in range(3)))
        broker.pause()
        operation(c2.http.post(f"/v1/topics/{topic}/rotate"))
        c2.stop()
        with pytest.raises(TimeoutError):
            c2.ended.result(2)
        c2.stop()
        c2.ended.result(PATIENCE_S)
