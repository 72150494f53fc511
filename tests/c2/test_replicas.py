# SPDX-License-Identifier: Apache-2.0
"""Several C2 on one database at a PostgreSQL or MariaDB server: one serves a device at a time, and the dead are replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from threading import Event

import pytest
import sqlalchemy as sa

from e4backends import sk
from e4c2 import deks, delivery, ledger, presence, replicas, topics
from e4c2.delivery import Courier
from e4c2.ear import Ear
from e4c2.flights import Flight, reclaim
from e4c2.format import Sealed
from e4c2.model import Delivery, replica
from e4c2.presence import Presence
from e4c2.replicas import DEAD_AFTER_S, LOOKS, Watch
from e4c2.settling import settle
from e4core.errors import Conflict, StorageError
from e4core.keys import ClientId, report_topic
from e4core.suite import Suite
from e4core.transport import Incoming
from e4kms.deks import Purpose, State
from e4transports.memory import MemoryBroker
from tests.c2.shared import Replicas, database
from tests.c2.shared import replicas as replicas_fixture
from tests.c2.test_courier import PATIENCE_S, Slow
from tests.c2.world import Clock, World
from tests.core.suites2 import GCM_SK

__all__ = ["database", "several"]

several = replicas_fixture
DEKS = bytes(32)
SUITES = (sk.SUITE, GCM_SK)


@pytest.fixture(params=SUITES, ids=lambda each: each.name)
def suite(request: pytest.FixtureRequest) -> Suite:
    found: Suite = request.param
    return found


class Beating:
    """A replica, and the clock by which it sees others stand still."""

    def __init__(self, several: Replicas) -> None:
        self.world = several.add()
        self.clock = Clock(0)
        self._watch = Watch(clock=self.clock)

    def beat(self, linked: bool = True) -> set[bytes]:
        return self.world.do(replicas.beat, self._watch, DEKS, linked)

    def notice(self) -> set[bytes]:
        """Beat until all are dead to it that stand still."""
        self.clock.now += 15
        return {each for _ in range(LOOKS) for each in self.beat()}

    @property
    def hears(self) -> bool:
        return self.world.do(replicas.hears)


def two(several: Replicas) -> tuple[Beating, Beating]:
    """Both at work, and a topic that two devices hold."""
    one, other = Beating(several), Beating(several)
    for name in "ab":
        one.world.add(name)
    one.world.topic("t", "a", "b")
    one.world.clock.now += 60
    for each in (one, other):
        assert each.beat() == set()
    return one, other


def test_who_stands_still_is_dead_and_who_goes_on_is_not() -> None:
    clock = Clock(0)
    watch = Watch(15, clock)
    for now, count in ((0, 1), (5, 2), (10, 3), (14.9, 4)):
        clock.now = now
        assert watch.dead({b"a": count, b"b": 1}) == set()
    clock.now = 15
    assert watch.dead({b"a": 4, b"b": 1}) == {b"b"}
    for now in (16, 17, 29.8):
        clock.now = now
        assert watch.dead({b"a": 4, b"c": 1}) == set()
    clock.now = 30
    assert watch.dead({b"a": 4, b"c": 1}) == {b"a"}


def test_nobody_is_dead_who_could_not_beat_as_nobody_could() -> None:
    clock = Clock(0)
    watch = Watch(15, clock)
    watch.dead({b"a": 1})
    clock.now = 2
    watch.dead({b"a": 2})
    clock.now = 100
    assert watch.dead({b"a": 2}) == watch.dead({b"a": 2}) == set()
    clock.now = 102
    assert watch.dead({b"a": 3}) == set()


def test_what_one_has_in_hand_no_other_sends(several: Replicas) -> None:
    one, other = two(several)
    one.world.do(topics.rotate, "t")
    mine = one.world.claim(1)
    theirs = other.world.claim()
    assert len(mine) == len(theirs) == 1
    assert mine[0].client != theirs[0].client
    other.world.do(topics.rotate, "t")
    one.world.clock.now += 1
    newer = one.world.claim()
    assert [each.client for each in newer] == [mine[0].client]
    assert [each.client for each in other.world.claim()] == [theirs[0].client]
    one.world.settle([*mine, *newer])
    one.world.do(topics.rotate, "t")
    one.world.clock.now += 1
    assert [each.client for each in other.world.claim(1)] == [mine[0].client]


def test_the_work_of_a_dead_one_is_taken_over_and_what_it_says_later_is_not_heard(several: Replicas) -> None:
    one, other = two(several)
    one.world.do(topics.rotate, "t")
    lost = one.world.claim()
    assert other.beat() == set()
    assert other.notice() == {one.world.realm.replica}
    one.world.clock.now += 1
    again = other.world.claim()
    assert {each.client for each in again} == {each.client for each in lost}
    one.world.store.run(settle, one.world.realm, [row for each in lost for row in each.carried], [])
    assert other.world.count(Delivery.SENT) < other.world.count(Delivery.SENDING) == len(again)
    for each in again:
        other.world.publish(each)
    other.world.settle(again)
    other.world.settle_down()
    assert other.world.readers("t", "a") == {"b"}


def test_who_is_held_for_dead_sends_nothing_until_it_has_said_otherwise(several: Replicas) -> None:
    one, other = two(several)
    assert other.notice()
    one.world.do(topics.rotate, "t")
    assert one.world.claim() == []
    one.beat()
    assert one.world.claim()


def test_one_of_those_that_are_connected_hears_the_reports(several: Replicas) -> None:
    hearing, deaf = sorted(two(several), key=lambda each: not each.hears)
    assert (hearing.hears, deaf.hears) == (True, False)
    hearing.beat(linked=False)
    assert (hearing.hears, deaf.hears) == (False, True)
    deaf.beat(linked=False)
    assert (hearing.hears, deaf.hears) == (False, False)
    hearing.beat()
    hearing.world.do(replicas.leave)
    deaf.beat()
    assert (hearing.hears, deaf.hears) == (False, True)


def test_who_begins_to_hear_sends_again_what_was_not_confirmed(several: Replicas) -> None:
    one, _ = two(several)
    one.world.greet()
    one.world.settle_down()
    one.world.do(topics.rotate, "t")
    sent = one.world.claim()
    one.world.settle(sent)
    one.world.clock.now += 1
    broker = MemoryBroker()

    async def story() -> None:
        async with broker.connect("c2") as link, broker.connect("device") as device:
            ear = Ear(one.world.store, one.world.realm, link, int)
            await ear.turn()
            assert one.world.claim() == []
            ear.should(True)
            await ear.turn()
            await device.publish(report_topic(ClientId(sent[0].client)), b"report")
            async for incoming in link:
                assert incoming.payload == b"report"
                break

    asyncio.run(story())
    assert {each.client for each in one.world.claim()} == {each.client for each in sent}


def test_who_leaves_gives_back_what_it_has(several: Replicas) -> None:
    one, other = two(several)
    one.world.do(topics.rotate, "t")
    assert one.world.claim()
    assert other.world.claim() == []
    one.world.do(replicas.leave)
    one.world.clock.now += 1
    assert other.world.claim()


def test_who_did_not_hear_that_its_claim_was_done_has_it_sent_again_and_nothing_else(several: Replicas) -> None:
    one, other = two(several)
    one.world.do(topics.rotate, "t")
    carried, theirs = one.world.claim(1), other.world.claim(1)
    assert one.world.do(topics.rotate, "t")
    one.world.clock.now += 1
    unheard = one.world.claim()
    assert [each.client for each in unheard] == [carried[0].client] != [theirs[0].client]
    in_hand = one.world.count(Delivery.SENDING)
    one.world.do(reclaim, [Flight(carried[0], 0), Flight(unheard[0], 0)])
    assert one.world.count(Delivery.SENDING) == in_hand
    one.world.do(reclaim, [Flight(carried[0], 0)])
    one.world.clock.now += 1
    assert one.world.count(Delivery.SENDING) == in_hand - 1
    assert {each.id for each in one.world.claim()} == {each.id for each in unheard}


async def lose_link(_: Beating, link: Slow, __: Beating) -> None:
    link.is_up = False


async def lose_database(one: Beating, _: Slow, __: Beating) -> None:
    async def lost(*_: object) -> None:
        raise StorageError("the database does not answer")

    for way in ("write", "write_own", "read"):
        setattr(one.world.store, way, lost)


async def another_release(one: Beating, _: Slow, __: Beating) -> None:
    """It beats, and writes nothing any more: its time to give up begins only when that has lasted as long."""
    await one.world.store.write_own(
        lambda db: db.execute(sa.text("UPDATE alembic_version SET version_num = 'x'")) and None
    )


async def seem_dead(_: Beating, link: Slow, other: Beating) -> None:
    link.is_up = False  # else it may take them again, once it is told that the others were wrong
    while not other.beat():
        other.clock.now += 15
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("lapse", [lose_link, lose_database, another_release, seem_dead])
def test_who_may_be_replaced_gives_up_what_has_not_left(
    several: Replicas, lapse: Callable[[Beating, Slow, Beating], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "BEAT_EVERY_S", 0.5)
    monkeypatch.setattr(presence, "LOOKS_EVERY_S", 0.05)
    monkeypatch.setattr(delivery, "SETTLE_EVERY_S", 0.05)
    if lapse is not seem_dead:
        monkeypatch.setattr(presence, "GIVES_UP_AFTER_S", 4.0)  # not before the lapse, however slow this machine is
    one, other = two(several)
    broker, left = MemoryBroker(), list[Incoming]()
    broker.taps.append(left.append)

    async def story() -> None:
        async with Slow(broker) as link, asyncio.timeout(6 * PATIENCE_S):
            courier = Courier(one.world.store, one.world.realm, link)
            mine = Presence(one.world.store, one.world.realm, courier, several.locksmith(one.world))
            tasks = [asyncio.create_task(each) for each in (mine.run(), courier.run())]
            await other.world.store.write(topics.rotate, other.world.realm, "t")
            while link.published < 2:  # noqa: ASYNC110  counted elsewhere
                await asyncio.sleep(0.02)
            await lapse(one, link, other)
            while courier.published["ended"] < 2:  # noqa: ASYNC110  counted elsewhere
                await asyncio.sleep(0.02)
            one.world.clock.now += 1
            taken: list[Sealed] = []
            while lapse in (lose_link, seem_dead) and len(taken) < 2:
                taken += await other.world.store.write(other.world.realm.format.claim, other.world.realm, 10)
                await asyncio.sleep(0.02)
            link.go.set()
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())
    assert left == []


@pytest.mark.parametrize("somebody_is_dead", [False, True])
def test_who_waits_for_its_turn_is_at_work_all_the_same(
    several: Replicas, monkeypatch: pytest.MonkeyPatch, somebody_is_dead: bool
) -> None:
    """Though it has others to bury, which it must wait for too."""
    monkeypatch.setattr(presence, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(presence, "DEAD_AFTER_S", 0 if somebody_is_dead else DEAD_AFTER_S)
    one, other = two(several)

    async def story() -> None:
        async with Slow(MemoryBroker()) as link, asyncio.timeout(PATIENCE_S):
            courier = Courier(one.world.store, one.world.realm, link)
            mine = Presence(one.world.store, one.world.realm, courier, several.locksmith(one.world))
            mine._has_beaten = True
            async with turn_of(other):
                beating = asyncio.create_task(mine.run())
                waiting = asyncio.create_task(one.world.store.write(topics.rotate, one.world.realm, "t"))
                await go_on_beating(one)
                assert not waiting.done()
            await waiting
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    asyncio.run(story())


@asynccontextmanager
async def turn_of(writer: Beating) -> AsyncIterator[None]:
    """Amid a transaction of this one, for whose end all wait that are to write."""
    writes, go_on = Event(), Event()

    def write_long(_: sa.Connection) -> None:
        writes.set()
        go_on.wait(PATIENCE_S)

    long = asyncio.create_task(writer.world.store.write(write_long))
    await asyncio.to_thread(writes.wait, PATIENCE_S)
    try:
        yield
    finally:
        go_on.set()
        await long


async def go_on_beating(one: Beating) -> None:
    """For longer than any other looks before it holds this one for dead."""
    wanted = await beats(one) + 2 * LOOKS
    while await beats(one) < wanted:  # noqa: ASYNC110  counted elsewhere
        await asyncio.sleep(0.02)


async def beats(of: Beating) -> int:
    mine = sa.select(replica.c.beats).where(replica.c.id == of.world.realm.replica)
    return await of.world.store.write_own(lambda db: db.scalar(mine) or 0)


def test_who_buries_another_sends_nothing_of_its_own_again(several: Replicas) -> None:
    one, other = two(several)
    one.world.do(topics.rotate, "t")
    assert len(one.world.claim()) == 2
    one.beat()
    assert one.notice() == {other.world.realm.replica}
    one.world.clock.now += 1
    assert one.world.claim() == []


def test_one_of_those_at_work_does_what_is_to_be_done_once(several: Replicas) -> None:
    one, other = two(several)
    leads = [each.world.do(replicas.leads) for each in (one, other)]
    assert sorted(leads) == [False, True]
    leader, heir = (one, other) if leads[0] else (other, one)
    leader.world.do(replicas.leave)
    assert heir.world.do(replicas.leads)
    assert not leader.world.do(replicas.leads)


def test_each_goes_on_with_what_the_other_has_changed(several: Replicas) -> None:
    one, other = two(several)
    for count in range(3):
        for each in (one.world, other.world):
            each.do(topics.rotate, "t")
            each.do(topics.create, f"{count} {each.realm.replica.hex()}")
    other.world.settle_down()
    one.world.do(topics.leave, "t", ["a"])
    other.world.settle_down()
    assert other.world.readers("t", "b") == set()
    for each in (one.world, other.world):
        each.store.run(ledger.verify, each.realm.keyring)


def test_who_was_away_for_longer_than_changes_are_told_adds_them_up(several: Replicas) -> None:
    one, other = two(several)
    one.world.do(topics.rotate, "t")
    one.world.store.run(ledger.prune, time.time() + 60)
    other.world.do(topics.rotate, "t")
    other.world.settle_down()
    assert other.world.readers("t", "a") == {"b"}


@pytest.mark.parametrize("purpose", [Purpose.RECORDS, Purpose.AUTHORITY, Purpose.LOOKUP])
def test_new_keys_are_used_by_all_at_once_and_not_before_all_hold_them(several: Replicas, purpose: Purpose) -> None:
    one, other = two(several)
    smiths = [several.locksmith(each.world) for each in (one, other)]

    async def renewed() -> None:
        for smith in smiths:
            await smith._renew()

    asyncio.run(renewed())
    rotation = smiths[0].rotate(purpose, 1)

    async def story() -> None:
        rotating = asyncio.ensure_future(rotation)
        while not rotating.done():
            for smith, each in zip(smiths, (one, other), strict=True):
                if await smith._is_behind():
                    await smith._renew()
                await each.world.store.write(replicas.beat, each.world.realm, Watch(), smith.held)
            await asyncio.sleep(0.02)
        await rotating

    asyncio.run(story())
    other.world.do(topics.rotate, "t")
    assert one.world.realm.keyring.newest(purpose) == other.world.realm.keyring.newest(purpose)
    one.world.settle_down()
    assert one.world.readers("t", "a") == {"b"}


def test_a_version_that_another_does_not_hold_is_not_used(several: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two(several)
    monkeypatch.setattr("e4c2.locksmith.FOLLOWED_WITHIN_S", 0)
    with pytest.raises(Conflict, match="does not hold"):
        asyncio.run(several.locksmith(one.world).rotate(Purpose.RECORDS, 1))
    other.world.do(topics.rotate, "t")
    assert_same(one.world, other.world)


def test_nobody_takes_into_use_what_another_has_prepared(several: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("e4c2.locksmith.LOOK_EVERY_S", 0.02)
    monkeypatch.setattr("e4c2.locksmith.LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr("e4c2.locksmith.FOLLOWED_WITHIN_S", 0.3)
    one, other = two(several)
    Beating(several).beat()  # which does not follow
    smiths = [several.locksmith(each.world) for each in (one, other)]

    async def story() -> None:
        tasks = [asyncio.create_task(each.run()) for each in smiths]
        await asyncio.sleep(0.3)
        with pytest.raises(Conflict, match="does not hold"):
            await smiths[0].rotate(Purpose.RECORDS, 1)
        await asyncio.sleep(1)
        assert not any(each.done() for each in tasks)
        assert await smiths[1]._is_behind() is False  # it has seen what is prepared
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(story())
    states = {(each.purpose, each.version): each.state for each in one.world.store.run(deks.load)}
    assert states[Purpose.RECORDS, 2] is State.PREPARED
    other.world.do(topics.rotate, "t")
    assert_same(one.world, other.world)


def assert_same(one: World, other: World) -> None:
    assert one.topic_key("t") == other.topic_key("t")
