# SPDX-License-Identifier: Apache-2.0
"""Format 2: nobody keeps a former key for longer than everybody else, whatever he missed and whoever writes the database."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from e4c2 import clients, delivery, links, topics
from e4c2.model import Reason
from e4c2.retention import KEPT_S
from e4c2.settings import Settings
from e4core.command2 import SetPubKey
from e4core.message import GRACE_S
from tests.c2.conftest import Worlds
from tests.c2.test_sealing2 import topic_keys
from tests.c2.world import World

pytestmark = pytest.mark.format(2)

EVERY_S = 1800


def friends(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.befriend("a", "b")
    world.topic("t", "a", "b")
    world.clock.now += 60


@pytest.fixture
def fleet(suite_name: str, worlds: Worlds) -> World:
    return worlds.peopled(suite_name, friends)


def rotate(world: World, times: int) -> int:
    """So often, every half hour; the second of the first."""
    first = int(world.clock.now)
    for _ in range(times):
        world.do(topics.rotate, "t")
        world.settle_down()
        world.clock.now += EVERY_S
    return first


def told(world: World, name: str, since: int) -> int:
    world.devices[name].away = False
    world.greet(name)
    world.settle_down()
    return topic_keys(world, name, since)[-1].older_until


def test_device_that_missed_rotations_is_told_the_end_of_the_first_key_that_it_holds(fleet: World) -> None:
    a, thief = fleet.devices["a"], fleet.devices["b"].thief()  # type: ignore[attr-defined]
    a.away, before = True, len(fleet.wire)
    first = rotate(fleet, 5)
    assert told(fleet, "a", before) == first + GRACE_S
    assert a.read("t", thief.write("t", fleet.clock.now), fleet.clock.now) is None
    assert a.read("t", fleet.devices["b"].write("t", fleet.clock.now, b"new"), fleet.clock.now) == b"new"


def test_what_was_confirmed_is_not_counted(fleet: World) -> None:
    rotate(fleet, 3)
    fleet.devices["a"].away, before = True, len(fleet.wire)
    first = rotate(fleet, 2)
    assert told(fleet, "a", before) == first + GRACE_S
    before = len(fleet.wire)
    last = rotate(fleet, 1)
    assert told(fleet, "a", before) == last + GRACE_S


def test_rotation_that_was_never_sealed_counts(fleet: World) -> None:
    """The broker was away: the second took the place of the first in the outbox."""
    first, before = int(fleet.clock.now), len(fleet.wire)
    for _ in range(3):
        fleet.do(topics.rotate, "t")
        fleet.clock.now += EVERY_S
    assert told(fleet, "a", before) == first + GRACE_S


def test_missed_rotation_that_went_off_the_record_counts(fleet: World) -> None:
    fleet.devices["a"].away, before = True, len(fleet.wire)
    rotate(fleet, 1)
    fleet.clock.now += KEPT_S
    fleet.do(delivery.tidy)
    rotate(fleet, 1)
    fleet.do(delivery.tidy)
    assert told(fleet, "a", before) == 0


def test_confirmed_rotation_that_went_off_the_record_does_not(fleet: World) -> None:
    for _ in range(2):
        rotate(fleet, 1)
        fleet.clock.now += KEPT_S
        fleet.devices["a"].away, before = True, len(fleet.wire)
        last = rotate(fleet, 1)
        fleet.do(delivery.tidy)
        assert told(fleet, "a", before) == last + GRACE_S


def test_no_grace_is_longer_than_what_stays_on_record() -> None:
    with pytest.raises(ValueError, match="grace_s"):
        Settings(suite="fips-sk", grace_s=KEPT_S + 1)


def test_holder_that_missed_changes_of_a_key_is_told_the_end_of_the_first(pk2: World) -> None:
    for name in "ab":
        pk2.add(name)
    pk2.befriend("a", "b")
    pk2.devices["a"].away, before = True, len(pk2.wire)
    first = pk2.clock.now
    for _ in range(3):
        pk2.do(clients.new_key, "b", Reason.ROUTINE)
        pk2.settle_down()
        pk2.clock.now += EVERY_S
    pk2.devices["a"].away = False
    pk2.greet("a")
    pk2.settle_down()
    last = [each for _, each in pk2.sent_to("a", before) if isinstance(each, SetPubKey)][-1]
    assert 0 <= last.old_until - GRACE_S - first < 60


# Times that somebody wrote into the database

TIMES = ("1e300", "-1e12", "9e999", "'x'", "x'00'", "1.5e12")


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("cell", ["topic SET rotated", "outbox SET created"])
def test_time_that_was_never_written_is_an_alarm_and_ends_former_keys_at_once(
    fleet: World, cell: str, time: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = len(fleet.wire)
    fleet.do(topics.rotate, "t")
    forge(fleet, f"UPDATE {cell} = {time}")
    fleet.settle_down()
    assert [each.older_until for name in "ab" for each in topic_keys(fleet, name, before)] == [0, 0]
    assert all(fleet.digest_fits(name) for name in "ab")
    assert "holds what is never written there" in caplog.text


@pytest.mark.parametrize("time", TIMES)
def test_public_key_with_a_time_that_was_never_written_is_sent(pk2: World, time: str) -> None:
    for name in "abc":
        pk2.add(name)
    for peer in "bc":
        pk2.do(links.send, "a", peer)
    (first, _) = [each.id for each in pk2.deliveries("a")]
    forge(pk2, f"UPDATE outbox SET created = {time} WHERE id = {first}")
    pk2.settle_down()
    assert sorted(each.old_until > 0 for _, each in pk2.sent_to("a") if isinstance(each, SetPubKey)) == [False, True]
    assert pk2.digest_fits("a")


def test_time_of_the_future_prolongs_no_key(fleet: World) -> None:
    before, now = len(fleet.wire), int(fleet.clock.now)
    fleet.do(topics.rotate, "t")
    forge(fleet, "UPDATE topic SET rotated = 9e9")
    forge(fleet, "UPDATE outbox SET created = 9e9")
    assert told(fleet, "a", before) <= now + 1 + GRACE_S


def forge(world: World, statement: str) -> None:
    with closing(sqlite3.connect(world.database)) as db, db:
        assert db.execute(statement).rowcount > 0
