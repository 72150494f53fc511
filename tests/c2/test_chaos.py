# SPDX-License-Identifier: Apache-2.0
"""Three C2 on one database, many devices, and whatever may happen to all of them: each device ends on the newest key, and none
ever goes back."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from e4core.suite import Suite
from tests.c2.chaos import Fleet, Served, Swarm
from tests.c2.shared import Replicas, database, replicas
from tests.databases import DatabaseServer
from tests.servers import Mosquitto
from tests.suites import installed

__all__ = ["database", "replicas"]

KINDS = [("postgresql", "fips-sk"), ("mariadb", "sk")]
"""Each server and each format; a story takes minutes."""
DEVICES = 2_000
ROUNDS = 10
WITHIN_S = 120.0
"""For all to hold the newest key, on a machine that has other things to do; a replica that stays dead is noticed after 15 s."""
ROTATIONS = 3
AGAIN = 4
"""More commands to one device when a replica or the broker dies: what is not known to have arrived is sent once more by who
hears the reports next, a hello is answered, and the device is emptied and filled if that shows that it lacks something."""


@pytest.fixture
def suite(request: pytest.FixtureRequest) -> Suite:
    return installed(request.param)


@pytest.fixture
def served(replicas: Replicas, mosquitto: Mosquitto, tmp_path: Path) -> list[Served]:
    environment = {
        "E4_SUITE": replicas.suite.name,
        "E4_DATABASE": replicas.uri,
        "E4_BROKER": mosquitto.uri,
        "E4_KMS": replicas.kek,
    }
    return [Served(tmp_path / f"c2-{number}", environment) for number in range(3)]


Happening = Callable[[Fleet, Mosquitto], Coroutine[None, None, None]]


async def nothing(_fleet: Fleet, _broker: Mosquitto) -> None:
    pass


async def a_replica_is_killed(fleet: Fleet, _broker: Mosquitto) -> None:
    """And started again, as its supervisor does."""
    victim = fleet.chance.choice(fleet.served)
    victim.end(signal.SIGKILL)
    victim.begin()
    await asyncio.to_thread(victim.wait)


async def a_replica_is_away(fleet: Fleet, _broker: Mosquitto) -> None:
    """Until all the others' devices hold the newest key: they take over from it."""
    victim = fleet.chance.choice(fleet.served)
    victim.end(signal.SIGKILL)
    await asyncio.sleep(1)
    await fleet.converge(WITHIN_S)
    victim.begin()
    await asyncio.to_thread(victim.wait)


async def a_replica_is_paused(fleet: Fleet, _broker: Mosquitto) -> None:
    """Until the others have taken its devices over; then it goes on with what it had in hand."""
    victim = fleet.chance.choice(fleet.served)
    victim.pause()
    try:
        await asyncio.sleep(1)
        await fleet.converge(WITHIN_S)
    finally:
        victim.go_on()


async def the_database_is_restarted(fleet: Fleet, _broker: Mosquitto) -> None:
    await asyncio.to_thread(fleet.database.stop)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(fleet.database.start)


async def the_broker_is_restarted(_fleet: Fleet, broker: Mosquitto) -> None:
    await asyncio.to_thread(broker.stop)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(broker.start)


async def the_broker_is_killed(fleet: Fleet, broker: Mosquitto) -> None:
    """And forgets what it had; devices say hello when they are connected again."""
    connections = fleet.swarm.connections
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    while fleet.swarm.connections == connections:  # noqa: ASYNC110  # counted elsewhere
        await asyncio.sleep(0.05)
    fleet.swarm.greet(fleet.swarm.members)


async def devices_restart(fleet: Fleet, _broker: Mosquitto) -> None:
    for each in fleet.chance.sample(fleet.swarm.members, DEVICES // 5):
        each.restart()


async def devices_are_away(fleet: Fleet, _broker: Mosquitto) -> None:
    """Until the others hold the newest key; what they then get is no older one."""
    absent, all_keys = fleet.chance.sample(fleet.swarm.members, DEVICES // 5), len(fleet.history) + ROTATIONS
    for each in absent:
        each.away = True
    while (  # noqa: ASYNC110  # counted elsewhere
        len(fleet.history) < all_keys or fleet.swarm.holding(fleet.history[-1]) < DEVICES - len(absent)
    ):
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)  # what was handed to the broker has passed
    before = {each.name: len(each.applied) for each in absent}
    for each in absent:
        each.away = False
    fleet.swarm.greet(absent)
    await fleet.converge(WITHIN_S)
    for each in absent:
        assert set(each.applied[before[each.name] :]) == {fleet.history[-1]}


ALL: tuple[Happening, ...] = (
    nothing,
    a_replica_is_killed,
    devices_are_away,
    the_broker_is_restarted,
    a_replica_is_away,
    devices_restart,
    the_broker_is_killed,
    a_replica_is_paused,
    the_database_is_restarted,
    a_replica_is_killed,
)


async def story(fleet: Fleet, broker: Mosquitto) -> None:
    async with fleet.asked_with(fleet.served[0].token), fleet.swarm.connected(broker.uri):
        fleet.swarm.greet(fleet.swarm.members)  # what was sent before they were there is gone
        await fleet.converge(WITHIN_S)
        await fleet.swarm.answered()
        for number, happening in enumerate(ALL):
            fleet.most_received()
            happens = asyncio.create_task(happening(fleet, broker))
            for _ in range(ROTATIONS):
                await fleet.rotate()
                await asyncio.sleep(fleet.chance.uniform(0, 0.5))
            await happens
            await fleet.converge(WITHIN_S)
            fleet.check_order()
            assert fleet.most_received() <= ROTATIONS + (AGAIN if number else 0), happening.__name__


@pytest.mark.long
@pytest.mark.parametrize(("database", "suite"), KINDS, indirect=True)
def test_every_device_ends_on_the_newest_key_whatever_happens(
    replicas: Replicas, served: list[Served], mosquitto: Mosquitto, database: DatabaseServer
) -> None:
    assert len(ALL) == ROUNDS
    fleet = Fleet(replicas, database, served, Swarm(replicas.suite, DEVICES), seed=random.randrange(1000))
    try:
        served[0].begin()
        served[0].wait()  # which makes the token
        for each in served[1:]:
            each.begin()
        for each in served[1:]:
            each.wait()
        asyncio.run(story(fleet, mosquitto))
    finally:
        for each in served:
            each.end()
