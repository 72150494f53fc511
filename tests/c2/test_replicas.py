# SPDX-License-Identifier: Apache-2.0
"""Several C2 on one database at a PostgreSQL or MariaDB server: one serves a device at a time, and the dead are replaced."""

from __future__ import annotations

import asyncio
import time

import pytest

from e4backends import sk
from e4c2 import ledger, replicas, topics
from e4c2.delivery import settle
from e4c2.model import Delivery
from e4c2.replicas import Watch
from e4core.errors import Conflict
from e4core.suite import Suite
from e4kms.deks import Purpose
from tests.c2.shared import Replicas, database
from tests.c2.shared import replicas as replicas_fixture
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

    def beat(self) -> set[bytes]:
        return self.world.do(replicas.beat, self._watch, DEKS)


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
    assert watch.dead({b"a": 1, b"b": 1}) == set()
    clock.now = 14.9
    assert watch.dead({b"a": 2, b"b": 1}) == set()
    clock.now = 15
    assert watch.dead({b"a": 2, b"b": 1}) == {b"b"}
    clock.now = 29
    assert watch.dead({b"a": 2, b"c": 1}) == set()
    clock.now = 30
    assert watch.dead({b"a": 2, b"c": 1}) == {b"a"}


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
    other.clock.now = 15
    assert other.beat() == {one.world.realm.replica}
    one.world.clock.now += 1
    again = other.world.claim()
    assert {each.client for each in again} == {each.client for each in lost}
    one.world.store.run(settle, [row for each in lost for row in each.carried], [])
    assert other.world.count(Delivery.SENT) < other.world.count(Delivery.SENDING) == len(again)
    for each in again:
        other.world.publish(each)
    other.world.settle(again)
    other.world.settle_down()
    assert other.world.readers("t", "a") == {"b"}


def test_who_is_held_for_dead_sends_nothing_until_it_has_said_otherwise(several: Replicas) -> None:
    one, other = two(several)
    other.clock.now = 15
    assert other.beat()
    one.world.do(topics.rotate, "t")
    assert one.world.claim() == []
    one.beat()
    assert one.world.claim()


def test_who_leaves_gives_back_what_it_has(several: Replicas) -> None:
    one, other = two(several)
    one.world.do(topics.rotate, "t")
    assert one.world.claim()
    assert other.world.claim() == []
    one.world.do(replicas.leave)
    one.world.clock.now += 1
    assert other.world.claim()


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


def assert_same(one: World, other: World) -> None:
    assert one.topic_key("t") == other.topic_key("t")
