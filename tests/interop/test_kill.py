# SPDX-License-Identifier: Apache-2.0
"""Rotations that are interrupted: the C2 is killed, the broker goes away. Nobody is stranded, nobody evicted gets the new key."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import httpx2
import pytest

from e4backends.sk import SUITE
from e4core.client import Client
from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.state import State, TopicState, new_state
from tests.interop.c2 import until
from tests.interop.fleet import Fleet, Member, fleet
from tests.interop.served import Facts, ServedC2, database, facts, served
from tests.servers import Mosquitto

TOPIC = "fleet/firmware"
TOPIC_ID = SUITE.derive_id(TOPIC)
DEVICES = 60
SILENT_EVERY = 6
"""One in so many devices does not report."""
ROUNDS = 20
EVICTION_EVERY = 4
"""One in so many rounds evicts a member; the others only rotate."""
SECOND_KILL_EVERY = 5
LATEST_KILL_S = 0.3
OUTAGE_S = 2.0
LIMIT_S = 150.0
DONE = {"confirmed", "superseded"}
SENT = {"sent"}


@dataclass
class World:
    """A C2 that can be killed, at a broker that cannot, and its devices, all members of `TOPIC` at first."""

    folder: Path
    c2: ServedC2
    devices: Fleet
    probes: count[int] = field(default_factory=count)

    async def ask(self, path: str, body: object = None) -> str:
        """A change that must be accepted; the id of what it made."""
        async with self.c2.http() as http:
            answer = await http.post(f"/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    async def rotate(self) -> str:
        return await self.ask(f"topics/{TOPIC_ID.hex()}/rotate")

    async def evict(self, member: Member) -> str:
        return await self.ask(f"topics/{TOPIC_ID.hex()}/evict", {"clients": [member.id]})

    async def converge(self, story: str) -> Facts:
        """Until every member has the key of the C2, no other device has it, and the C2 knows that nothing is left to do."""
        with database(self.c2.data, SUITE) as (store, realm):
            now = await store.read(facts, realm, TOPIC)

            async def settled() -> bool:
                nonlocal now
                now = await store.read(facts, realm, TOPIC)
                return not self._behind(now) and not self._open(now)

            await until(settled)
        assert not self._behind(now), f"{story}: devices with another key; {now}"
        assert not self._open(now), f"{story}: deliveries that are never settled; {now}"
        self._probe(now, story)
        return now

    def _behind(self, now: Facts) -> list[str]:
        right = {True: now.key, False: None}
        return [
            member.id
            for member in self.devices.members.values()
            if member.key(TOPIC_ID) != right[member.id in now.members]
        ]

    def _open(self, now: Facts) -> set[str]:
        return (set(now.confirming) - DONE) | (set(now.silent) - DONE - SENT)

    def _probe(self, now: Facts, story: str) -> None:
        """A message under the C2's key is read by members alone; no other device was ever given that key."""
        payload = f"probe {next(self.probes)}".encode()
        message = _holder(now.key).protect(payload, TOPIC, time.time())
        for member in self.devices.members.values():
            if member.id in now.members:
                assert member.client.unprotect(message, TOPIC, time.time()).payload == payload, story
            else:
                assert now.key not in member.given, story


def _holder(key: TopicKey) -> Client:
    """Somebody who holds the key of `TOPIC`."""
    state = new_state(SUITE, ClientId(bytes(16)), Secret(os.urandom(32)))
    return Client(SUITE, replace(state, topics={TopicHash(TOPIC_ID): TopicState(key)}), _forget)


def _forget(_state: State) -> None:
    """A holder lives for one message."""


Story = Callable[[World], Awaitable[None]]
Play = Callable[[Story], None]


@pytest.fixture
def play(mosquitto: Mosquitto, tmp_path: Path) -> Play:
    """Runs a story in a world of its own, whose devices have said hello and hold the first key."""

    def run(story: Story) -> None:
        async def told() -> None:
            async with asyncio.timeout(LIMIT_S), _world(tmp_path, mosquitto.uri) as world:
                await story(world)

        asyncio.run(told())

    return run


@asynccontextmanager
async def _world(folder: Path, broker: str) -> AsyncIterator[World]:
    with served(folder, broker) as c2:
        c2.start()
        async with fleet(SUITE, broker) as devices:
            world = World(folder, c2, devices)
            await _enrol(world)
            yield world


async def _enrol(world: World) -> None:
    members = []
    for number in range(DEVICES):
        name, private = f"device {number}", SUITE.device.generate()
        member = world.devices.add(name, private, reports=number % SILENT_EVERY != 0)
        members.append(await world.ask("clients", {"name": name, "key": _base64(private)}))
        assert members[-1] == member.id
    world.devices.say_hello()
    await world.ask("topics", {"name": TOPIC})
    await world.ask(f"topics/{TOPIC_ID.hex()}/members", {"clients": members})
    await world.converge("joined")


def test_members_end_on_the_new_key_however_the_c2_is_killed_while_it_rotates(play: Play) -> None:
    seed = int(os.environ.get("E4_TEST_SEED", random.randrange(2**32)))
    print(f"repeat with E4_TEST_SEED={seed}")
    chance = random.Random(seed)

    async def story(world: World) -> None:
        for number in range(1, ROUNDS + 1):
            await _killed(world, chance, number)

    play(story)
