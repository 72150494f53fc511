# SPDX-License-Identifier: Apache-2.0
"""Two and three C2 on one database, many devices, and whatever may happen to all of them: each device ends on the newest key, and
none ever goes back."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple

import pytest

from e4core.suite import Suite
from tests.c2.chaos import WITHIN_S, Fleet, Served, Swarm
from tests.c2.shared import Replicas, database, replicas
from tests.databases import DatabaseServer
from tests.servers import Mosquitto
from tests.suites import installed

__all__ = ["database", "replicas"]

KINDS = [("postgresql", "fips-sk"), ("mariadb", "sk")]
"""Each server and each format; a story takes minutes."""
DEVICES = 2_000
ROUNDS = 10
ROTATIONS = 3


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


class Trouble(NamedTuple):
    """Something that happens while a topic is rotated, and how many more commands than rotations a device may get by it."""

    happen: Callable[[Fleet, Mosquitto], Coroutine[None, None, None]]
    again: int = 0


async def nothing(_fleet: Fleet, _broker: Mosquitto) -> None:
    pass


async def a_replica_is_killed(fleet: Fleet, _broker: Mosquitto) -> None:
    """With commands in hand; and started again, as its supervisor does."""
    victim = await fleet.one_with_commands_in_hand()
    victim.end(signal.SIGKILL)
    victim.begin()
    await asyncio.to_thread(victim.wait)


async def a_replica_is_away(fleet: Fleet, _broker: Mosquitto) -> None:
    """With commands in hand, until the others have taken over from it."""
    victim = await fleet.one_with_commands_in_hand()
    victim.end(signal.SIGKILL)
    await fleet.taken_over(victim)
    await fleet.converge()
    victim.begin()
    await asyncio.to_thread(victim.wait)


async def a_replica_is_paused(fleet: Fleet, _broker: Mosquitto) -> None:
    """Until the others have taken over from it; then it goes on with what it had in hand."""
    victim = await fleet.one_with_commands_in_hand()
    try:
        await fleet.taken_over(victim)
        await fleet.converge()
    finally:
        victim.go_on()


async def the_database_is_restarted(fleet: Fleet, _broker: Mosquitto) -> None:
    await fleet.a_while()
    await asyncio.to_thread(fleet.database.stop)
    try:
        await asyncio.sleep(0.3)
    finally:
        await asyncio.to_thread(fleet.database.start)


async def the_broker_is_restarted(fleet: Fleet, broker: Mosquitto) -> None:
    await fleet.a_while()
    await asyncio.to_thread(broker.stop)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(broker.start)


async def the_broker_is_killed(fleet: Fleet, broker: Mosquitto) -> None:
    """And forgets what it had; devices say hello when they are connected again."""
    await fleet.a_while()
    connections = fleet.swarm.connections
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    while fleet.swarm.connections == connections:  # noqa: ASYNC110  # counted elsewhere
        await asyncio.sleep(0.05)
    fleet.swarm.greet(fleet.swarm.members)


async def devices_restart(fleet: Fleet, _broker: Mosquitto) -> None:
    for each in fleet.chance.sample(fleet.swarm.members, DEVICES // 5):
        each.restart()
        fleet.swarm.greet([each])
        await asyncio.sleep(fleet.chance.uniform(0, 0.005))


async def devices_are_away(fleet: Fleet, _broker: Mosquitto) -> None:
    """Until the others hold the newest key; then nothing older is sent to them."""
    absent, all_keys = fleet.chance.sample(fleet.swarm.members, DEVICES // 5), len(fleet.history) + ROTATIONS
    for each in absent:
        each.away = True
    while (  # noqa: ASYNC110  # counted elsewhere
        len(fleet.history) < all_keys or fleet.swarm.holding(fleet.history[-1]) < DEVICES - len(absent)
    ):
        await asyncio.sleep(0.1)
    await fleet.settled()  # what was handed to the broker has passed
    before = {each.name: (len(each.applied), each.received - len(each.handled)) for each in absent}
    for each in absent:
        each.away = False
    fleet.swarm.greet(absent)
    await fleet.converge()
    await fleet.settled()
    for each in absent:
        applied, refused = before[each.name]
        assert set(each.applied[applied:]) == {fleet.history[-1]}
        assert each.received - len(each.handled) == refused, "it was sent what is over"


RESTARTED = Trouble(devices_restart, 2)
"""They say hello until that is answered."""
KILLED = Trouble(a_replica_is_killed, 2)
BROKER_RESTARTED = Trouble(the_broker_is_restarted, 2)
BROKER_KILLED = Trouble(the_broker_is_killed, 4)
WITH_TWO: tuple[tuple[Trouble, ...], ...] = (
    (Trouble(nothing),),
    (Trouble(devices_are_away, 2),),
    (Trouble(a_replica_is_away, 2),),
    (KILLED, BROKER_RESTARTED, RESTARTED),
)
WITH_THREE: tuple[tuple[Trouble, ...], ...] = (
    (KILLED, BROKER_RESTARTED, RESTARTED),
    (Trouble(a_replica_is_paused, 2),),
    (KILLED, BROKER_KILLED, RESTARTED),
    (Trouble(the_database_is_restarted, 2), RESTARTED),
    (KILLED, BROKER_RESTARTED, RESTARTED),
    (KILLED, BROKER_RESTARTED, RESTARTED),
)


async def rotated_amid(fleet: Fleet, broker: Mosquitto, *troubles: Trouble) -> None:
    fleet.most_received()
    async with asyncio.timeout(5 * WITHIN_S), asyncio.TaskGroup() as happening:
        for each in troubles:
            happening.create_task(each.happen(fleet, broker))
        for _ in range(ROTATIONS):
            await fleet.rotate()
            await fleet.a_while()
    await fleet.converge()
    await fleet.settled()
    fleet.check_order()
    most, allowed = fleet.most_received(), ROTATIONS + sum(each.again for each in troubles)
    print([each.happen.__name__ for each in troubles], f"at most {most} commands to a device")
    assert most <= allowed


async def story(fleet: Fleet, broker: Mosquitto) -> None:
    *first, last = fleet.served
    for each in first:
        each.begin()
        await asyncio.to_thread(each.wait)  # the first makes the token
    async with fleet.asked_with(first[0].token), fleet.swarm.connected(broker.uri):
        fleet.swarm.greet(fleet.swarm.members)  # what was sent before they were there is gone
        await fleet.converge()
        await fleet.settled()
        for troubles in WITH_TWO:
            await rotated_amid(fleet, broker, *troubles)
        last.begin()
        await asyncio.to_thread(last.wait)
        for troubles in WITH_THREE:
            await rotated_amid(fleet, broker, *troubles)


@pytest.mark.long
@pytest.mark.parametrize(("database", "suite"), KINDS, indirect=True)
def test_every_device_ends_on_the_newest_key_whatever_happens(
    replicas: Replicas, served: list[Served], mosquitto: Mosquitto, database: DatabaseServer
) -> None:
    assert len(WITH_TWO + WITH_THREE) == ROUNDS
    seed = random.randrange(1000)
    print(f"seed {seed}")
    fleet = Fleet(replicas, database, served, Swarm(replicas.suite, DEVICES), seed)
    try:
        asyncio.run(story(fleet, mosquitto))
    finally:
        for each in served:
            each.end()
