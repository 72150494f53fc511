# SPDX-License-Identifier: Apache-2.0
"""Rotations that are interrupted: the C2 is killed, the broker goes away. Nobody is stranded, nobody evicted gets the new key.

The moments are random; a test that fails says how to repeat them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from base64 import b64encode
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
from tests.interop.fleet import Fleet, fleet
from tests.interop.served import ROOT, Facts, ServedC2, database, facts, served
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
OUTAGE_S = 2.0
LIMIT_S = 150.0
HELLO_EVERY_S = 2.0
LEFT = {"pending", "sending"}
CONFIRMED = {"confirmed", "superseded"}


@dataclass
class World:
    """A C2 that can be killed, at a broker that cannot, and its devices, all members of `TOPIC` at first."""

    c2: ServedC2
    http: httpx2.AsyncClient
    devices: Fleet
    probes: count[int] = field(default_factory=count)

    async def start(self) -> None:
        await asyncio.to_thread(self.c2.start)
        # the first request to a new process takes long
        assert (await self.http.get(f"{self.c2.url}/v1/topics")).is_success

    async def ask(self, path: str, body: object = None) -> str:
        """A change that must be accepted; the id of what it made."""
        answer = await self.http.post(f"{self.c2.url}/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    async def rotate(self) -> str:
        return await self.ask(f"topics/{TOPIC_ID.hex()}/rotate")

    async def evict(self, device: str) -> str:
        return await self.ask(f"topics/{TOPIC_ID.hex()}/evict", {"clients": [device]})

    async def converge(self, story: str) -> Facts:
        """Until every member has the key of the C2, and no other device, and nothing is left to be sent.

        A report that the C2 had received, but not written down, is lost with it; see `confirm`.
        """
        now = await self._reach(lambda now: not self._wrong(now) and not now.states & LEFT)
        assert not self._wrong(now), f"{story}: {len(self._wrong(now))} devices with the wrong key; {now}"
        assert not now.states & LEFT, f"{story}: commands that are never sent; {now}"
        self._probe(now, story)
        return now

    async def confirm(self) -> None:
        """Devices say hello now and then, which confirms whatever they have done."""
        saying = asyncio.create_task(self._say_hello())
        now = await self._reach(lambda now: set(now.confirming) <= CONFIRMED)
        saying.cancel()
        assert set(now.confirming) <= CONFIRMED, f"deliveries that are never confirmed; {now}"
        assert set(now.silent) <= CONFIRMED | {"sent"}

    async def _reach(self, goal: Callable[[Facts], bool]) -> Facts:
        with database(self.c2.data, SUITE) as (store, realm):
            now = await store.read(facts, realm, TOPIC)

            async def reached() -> bool:
                nonlocal now
                now = await store.read(facts, realm, TOPIC)
                return goal(now)

            await until(reached)
        return now

    async def _say_hello(self) -> None:
        while True:
            self.devices.say_hello()
            await asyncio.sleep(HELLO_EVERY_S)

    def _wrong(self, now: Facts) -> list[str]:
        right = {True: now.key, False: None}
        return [
            member.id
            for member in self.devices.members.values()
            if member.key(TOPIC_ID) != right[member.id in now.members]
        ]

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
        async with c2.http() as http, fleet(SUITE, broker) as devices:
            world = World(c2, http, devices)
            await _enrol(world)
            yield world


async def _enrol(world: World) -> None:
    members = []
    for number in range(DEVICES):
        name, private = f"device {number}", SUITE.device.generate()
        member = world.devices.add(name, private, reports=number % SILENT_EVERY != 0)
        members.append(await world.ask("clients", {"name": name, "key": b64encode(private).decode()}))
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
        begun = time.monotonic()
        await world.rotate()
        await world.converge("a rotation that is not interrupted")
        whole_s = time.monotonic() - begun
        for number in range(1, ROUNDS + 1):
            await _killed(world, chance, number, whole_s)
        await world.confirm()
        assert set(world.devices.outcomes) == {"applied"}

    play(story)


def test_members_end_on_the_new_key_when_the_broker_goes_away_while_it_is_rotated(
    play: Play, mosquitto: Mosquitto
) -> None:
    async def story(world: World) -> None:
        for delay_s in (0.0, 0.03, 0.08):
            before = await world.converge("before the outage")
            await world.rotate()
            await asyncio.sleep(delay_s)
            await asyncio.to_thread(mosquitto.stop)
            await asyncio.sleep(OUTAGE_S)
            await asyncio.to_thread(mosquitto.start)
            after = await world.converge(f"outage {delay_s} s after the rotation")
            assert after.key != before.key
        await world.confirm()

    play(story)


def test_what_was_committed_is_published_by_the_next_c2(play: Play) -> None:
    async def story(world: World) -> None:
        for how_far in ("committed", "sealed"):
            before = await world.converge(f"before it is {how_far}")
            world.c2.kill()
            await asyncio.to_thread(_commit_and_die, world.c2.data, how_far)
            assert {member.key(TOPIC_ID) for member in world.devices.members.values()} == {before.key}
            await world.start()
            after = await world.converge(f"after it was {how_far}")
            assert after.key != before.key
        await world.confirm()

    play(story)


def _commit_and_die(data: Path, how_far: str) -> None:
    died = subprocess.run(
        [sys.executable, "-m", "tests.interop.commit_and_die", data, TOPIC, how_far],
        cwd=ROOT,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL


async def _killed(world: World, chance: random.Random, number: int, whole_s: float) -> None:
    """One change, during which the C2 is killed; sometimes the next C2 is too, while it catches up."""
    before = await world.converge(f"before round {number}")
    evicted = chance.choice(sorted(before.members)) if number % EVICTION_EVERY == 0 else None
    delays_s = [chance.uniform(0, whole_s) for _ in range(2 if number % SECOND_KILL_EVERY == 0 else 1)]
    asked = asyncio.create_task(world.evict(evicted) if evicted else world.rotate())
    for delay_s in delays_s:
        await asyncio.sleep(delay_s)
        world.c2.kill()
        await world.start()
    after = await world.converge(f"round {number}, killed after {delays_s} s")
    with suppress(httpx2.TransportError):
        await asked
        # what was answered was committed
        assert after.key != before.key
    gone = {evicted} if after.key != before.key and evicted else set()
    assert after.members == before.members - gone
