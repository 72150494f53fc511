# SPDX-License-Identifier: Apache-2.0
"""How a C2 and the others on its database come to agree on whether it is at work, whatever keeps it from its turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from e4backends import sk
from e4c2 import delivery, presence, topics
from e4c2.delivery import Courier
from e4c2.format import Sealed
from e4c2.model import replica
from e4c2.presence import Presence
from e4c2.replicas import Watch
from e4c2.store import servers
from e4core.suite import Suite
from e4core.transport import Incoming, Transport
from e4transports.memory import MemoryBroker
from tests.c2.shared import Replicas, database
from tests.c2.shared import replicas as replicas_fixture
from tests.c2.test_courier import PATIENCE_S, Slow
from tests.c2.test_replicas import Beating, beats, go_on_beating, turn_of, two
from tests.c2.world import Clock

__all__ = ["database", "several"]

several = replicas_fixture


@pytest.fixture
def suite() -> Suite:
    return sk.SUITE


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(presence, "LOOKS_EVERY_S", 0.05)


@asynccontextmanager
async def at_work(several: Replicas, one: Beating, link: Transport) -> AsyncIterator[Courier]:
    """It beats, and carries commands."""
    courier = Courier(one.world.store, one.world.realm, link)
    mine = Presence(one.world.store, one.world.realm, courier, several.locksmith(one.world))
    tasks = [asyncio.create_task(each) for each in (mine.run(), courier.run())]
    try:
        async with asyncio.timeout(PATIENCE_S):
            await go_on_beating(one)
            yield courier
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ended(courier: Courier, wanted: int) -> None:
    """So many publications were given up."""
    while courier.published["ended"] < wanted:  # noqa: ASYNC110  counted elsewhere
        await asyncio.sleep(0.02)


def test_who_was_paused_amid_a_claim_sends_nothing_that_others_have_taken_over(
    several: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by SIGSTOP: until it reads the answer to its COMMIT, nothing of this process has a turn."""
    monkeypatch.setattr(presence, "GIVES_UP_AFTER_S", 1.0)
    monkeypatch.setattr(delivery, "WINDOW", 2)  # else the next claim gives others a turn
    one, other = two(several)
    broker, left, taken = MemoryBroker(), list[Incoming](), list[Sealed]()
    broker.taps.append(left.append)
    write = one.world.store.write

    async def paused(use_case: Any, *args: Any) -> Any:
        answer = await write(use_case, *args)
        if use_case is one.world.realm.format.claim and answer and not taken:
            while not other.beat():
                other.clock.now += 15
            one.world.clock.now += 1
            taken.extend(other.world.claim())
            time.sleep(presence.GIVES_UP_AFTER_S)  # noqa: ASYNC251  all is to wait
        return answer

    async def story() -> None:
        async with broker.connect("c2") as link, at_work(several, one, link) as courier:
            await one.world.store.write(topics.rotate, one.world.realm, "t")
            courier.wake()
            await ended(courier, 2)
            await go_on_beating(one)

    monkeypatch.setattr(one.world.store, "write", paused)
    asyncio.run(story())
    assert len(taken) == 2
    assert left == []


def test_who_is_held_for_dead_gives_up_before_its_next_beat_has_its_turn(
    several: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "GIVES_UP_AFTER_S", 10 * PATIENCE_S)
    one, other = two(several)
    buried = sa.delete(replica).where(replica.c.id == one.world.realm.replica)

    async def story() -> None:
        async with Slow(MemoryBroker()) as link, at_work(several, one, link) as courier:
            await one.world.store.write(topics.rotate, one.world.realm, "t")
            courier.wake()
            while link.published < 2:  # noqa: ASYNC110  counted elsewhere
                await asyncio.sleep(0.02)
            async with turn_of(other):
                await one.world.store.write_own(lambda db: db.execute(buried) and None)
                await ended(courier, 2)

    asyncio.run(story())


def test_who_has_no_reader_left_is_at_work_all_the_same(several: Replicas) -> None:
    one, other = two(several)

    async def story() -> None:
        async with MemoryBroker().connect("c2") as link, at_work(several, one, link):
            async with turn_of(other):
                waits = [one.world.store.read(lambda db: db.scalar(servers._TURN)) for _ in range(servers.READERS)]
                waiting = [asyncio.create_task(each) for each in waits]
                await go_on_beating(one)
                assert not any(each.done() for each in waiting)
            await asyncio.gather(*waiting)

    asyncio.run(story())


def test_whose_writes_are_not_answered_is_dead_until_they_are(
    several: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heart has a connection of its own, which may be sound."""
    monkeypatch.setattr(servers, "_WRITE_WITHIN_S", 0)
    monkeypatch.setattr(presence, "GIVES_UP_AFTER_S", 1.0)
    one, other = two(several)
    clock = Clock(0)
    watch = Watch(clock=clock)

    async def is_dead() -> bool:
        clock.now += 15
        return bool(watch.dead({one.world.realm.replica: await beats(one)}))

    async def story() -> None:
        async with MemoryBroker().connect("c2") as link, at_work(several, one, link):
            async with turn_of(other):
                waiting = asyncio.create_task(one.world.store.write(topics.rotate, one.world.realm, "t"))
                while not await is_dead():  # noqa: ASYNC110  counted elsewhere
                    await asyncio.sleep(0.2)
                assert not waiting.done()
            await waiting
            await go_on_beating(one)

    asyncio.run(story())
