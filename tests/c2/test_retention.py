# SPDX-License-Identifier: Apache-2.0
"""What devices have done anew leaves the record after a day; what is still to be done, or told, does not leave with it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from e4c2 import commands, endings, links, retention, topics
from e4c2.commands import Command
from e4c2.events import log
from e4c2.model import Delivery, EventKind, Kind, outbox
from e4c2.retention import OVERTAKEN_KEPT_S
from tests.c2.devices import Witness
from tests.c2.test_endings import told
from tests.c2.test_scale import counted, crowded
from tests.c2.world import World

ROTATIONS = 5
RENEWED = (Kind.TOPIC, Kind.PEER)


@pytest.fixture
def two(world: World) -> World:
    """One that reports, and one that in Format 1 does not."""
    world.add("a")
    world.add("w", Witness)
    world.befriend("a", "w")
    world.topic("t", "a", "w")
    return world


def rotate(world: World) -> commands.Operation:
    world.clock.now += 60
    operation: commands.Operation = world.do(topics.rotate, "t")
    world.settle_down()
    return operation


def a_day_later(world: World) -> None:
    world.clock.now += OVERTAKEN_KEPT_S + 60


def keys(world: World, name: str | None = None) -> list[Command]:
    return [each for each in world.deliveries(name) if each.kind in RENEWED]


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_of_each_object_the_last_that_was_done_is_kept(
    two: World, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DEVICES_AT_ONCE", at_once)
    for _ in range(ROTATIONS):
        rotate(two)
    before = two.deliveries()
    two.thin()
    assert two.deliveries() == before, "it is not a day ago"
    a_day_later(two)
    two.thin()
    last = {(each.client, each.kind, each.object): each.id for each in before}
    assert {each.id for each in two.deliveries()} == set(last.values())
    assert len(last) <= len(before) - 2 * ROTATIONS


def test_an_operation_counts_what_is_off_the_record(two: World) -> None:
    done = [rotate(two) for _ in range(ROTATIONS)]
    before = [two.counts(each) for each in done]
    assert all(sum(counts.values()) == 2 for counts in before)
    for _ in range(2):
        a_day_later(two)
        rotate(two)
        two.thin()
        assert [two.counts(each) for each in done] == before


def test_its_end_is_told_with_all_that_it_was(two: World) -> None:
    two.add("late")
    two.do(topics.join, "t", ["late"])
    two.settle_down()
    two.devices["late"].away = True
    rotated = rotate(two)
    start = two.store.run(log.newest)
    a_day_later(two)
    rotate(two)
    two.thin()
    assert len([each for each in keys(two) if each.operation == rotated.id]) == 1
    two.devices["late"].away = False
    two.greet("late")
    two.settle_down()
    told(two, endings.LONGEST_S)
    events = two.do(log.page, start, 1000, (EventKind.OPERATION_CONFIRMED, EventKind.OPERATION_SENT)).events
    (ended,) = [each for each in events if each.data["operation"] == rotated.id]
    assert sum(n for state, n in ended.data.items() if isinstance(n, int) and state in set(Delivery)) == 3


def test_what_a_device_has_missed_stays_until_it_has_the_present(two: World) -> None:
    two.devices["a"].away = True
    missed = [rotate(two) for _ in range(3)]
    a_day_later(two)
    before = keys(two, "a")
    two.thin()
    undone = [each.id for each in keys(two, "a") if each.operation in {of.id for of in missed}]
    assert undone == [each.id for each in before if each.operation in {of.id for of in missed}]
    two.devices["a"].away = False
    two.greet("a")
    two.settle_down()
    a_day_later(two)
    two.thin()
    assert {each.state for each in keys(two, "a")} == {Delivery.CONFIRMED}
    assert two.digest_fits("a")


def test_what_erases_a_key_stays_until_another_does(two: World) -> None:
    """A routine rotation that was done later does not say so."""
    two.add("thief")
    two.do(topics.join, "t", ["thief"])
    two.settle_down()
    two.do(topics.leave, "t", ["thief"])
    two.settle_down()
    rotate(two)
    a_day_later(two)
    two.thin()
    purges = sa.select(sa.func.count()).where(outbox.c.purge, outbox.c.kind == Kind.TOPIC.value)
    members = purges.where(outbox.c.client.in_([bytes(two.devices[name].id) for name in "aw"]))
    assert two.store.run(lambda db: db.scalar(members)) == 2
    rotate(two)
    two.do(topics.join, "t", ["thief"])
    two.do(topics.leave, "t", ["thief"])
    two.settle_down()
    a_day_later(two)
    two.thin()
    assert two.store.run(lambda db: db.scalar(members)) == 2, "the last one"


def test_links_are_thinned_as_topics_are(pk: World) -> None:
    pk.add("a")
    pk.add("b")
    for _ in range(3):
        pk.do(links.send, "a", "b")
        pk.settle_down()
        pk.clock.now += 60
    assert len(keys(pk)) == 3
    a_day_later(pk)
    pk.thin()
    assert [each.state for each in keys(pk)] == [Delivery.CONFIRMED]


def test_to_who_never_reports_the_last_that_was_sent_is_kept(sk: World) -> None:
    sk.add("w", Witness)
    sk.topic("t", "w")
    done = [rotate(sk) for _ in range(3)]
    a_day_later(sk)
    sk.thin()
    assert [(each.operation, each.state) for each in keys(sk)] == [(done[-1].id, Delivery.SENT)]
    assert [sk.counts(each) for each in done] == [{Delivery.SENT: 1}] * 3


def test_it_costs_the_same_for_one_operation_and_a_hundred(sk: World) -> None:
    sk.do(topics.create, "t")
    sk.do(crowded, 100)
    for _ in range(100):
        sk.do(topics.rotate, "t")
    sk.sql("UPDATE outbox SET state = 'confirmed'")
    a_day_later(sk)
    numbers, _ = sk.do(retention.overtaken)
    assert len(numbers) == 9900
    one, many = numbers[:5], sorted(numbers, key=lambda number: number % 100)[:500]
    assert counted(sk, retention.overtaken) == 2
    assert counted(sk, _forget, one) == counted(sk, _forget, many) <= 3


def _forget(db: sa.Connection, _: object, numbers: list[int]) -> None:
    retention.forget(db, numbers)


@pytest.mark.parametrize("state", [Delivery.PENDING, Delivery.EXPIRED])
def test_what_is_waited_for_again_by_now_stays(sk: World, state: Delivery) -> None:
    """Something else may be written between the look and the forgetting."""
    sk.add("w", Witness)
    sk.topic("t", "w")
    rotate(sk)
    a_day_later(sk)
    numbers, _ = sk.do(retention.overtaken)
    assert numbers
    sk.sql(f"UPDATE outbox SET state = '{state}'")
    before = sk.deliveries()
    sk.store.run(retention.forget, numbers)
    assert sk.deliveries() == before
