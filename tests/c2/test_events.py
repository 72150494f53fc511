# SPDX-License-Identifier: Apache-2.0
"""What happens is told in its own transaction, in order, and kept for a while."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, clients, topics
from e4c2.events import Kind, log, tell
from e4c2.events.log import EACH_MAX, Event
from e4c2.model import Reason, event
from e4c2.rows import Realm
from e4core.errors import NotFound, Tampered
from tests.c2.world import World

DAY_S = 24 * 3600


def told(world: World, after: int | None = None, *kinds: Kind) -> list[Event]:
    return world.do(log.page, after, 1000, kinds).events


def tell_some(world: World, count: int) -> list[int]:
    """As many events; their numbers."""
    for _ in range(count):
        world.do(tell, Kind.KMS_BACK)
    return [each.id for each in told(world)]


def test_changes_are_told_in_the_order_in_which_they_happen(world: World) -> None:
    seen = world.store.run(log.newest)
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    world.do(topics.leave, "t", ["a"])
    world.do(clients.new_key, "b", Reason.COMPROMISED)
    world.do(clients.remove, "b")
    world.do(topics.remove, "t")
    assert [(each.kind, each.client, each.topic) for each in told(world, seen) if each.kind != Kind.CLIENT_SEEN] == [
        ("client.enrolled", "a", None),
        ("client.enrolled", "b", None),
        ("topic.created", None, "t"),
        ("member.joined", "a", "t"),
        ("member.joined", "b", "t"),
        ("topic.rotated", None, "t"),
        ("member.evicted", "a", "t"),
        ("topic.rotated", None, "t"),
        ("client.suspended", "b", None),
        ("topic.rotated", None, "t"),
        ("client.removed", "b", None),
        ("topic.rotated", None, "t"),
        ("topic.removed", None, "t"),
    ]
    assert [each.id for each in told(world)] == sorted({each.id for each in told(world)})


def test_an_event_names_the_operation_and_the_time_of_its_change(sk: World) -> None:
    sk.topic("t")
    sk.clock.now += 5
    operation = sk.do(topics.rotate, "t")
    (rotated,) = told(sk, None, Kind.TOPIC_ROTATED)
    assert (rotated.data, rotated.created) == ({"operation": operation.id}, sk.clock.now)


def test_what_is_undone_is_not_told(sk: World) -> None:
    sk.topic("t")
    with sk.refuses(NotFound):
        sk.do(topics.leave, "t", ["nobody"])


def test_who_is_a_member_already_joins_not_once_more(sk: World) -> None:
    sk.add("a")
    sk.topic("t", "a")
    sk.do(topics.join, "t", ["a"])
    assert len(told(sk, None, Kind.MEMBER_JOINED)) == 1


def test_a_mass_change_is_one_event_with_a_number(sk: World) -> None:
    names = [f"d{n:02}" for n in range(EACH_MAX + 1)]
    for name in names:
        sk.add(name)
    sk.topic("t", *names[:EACH_MAX])
    sk.topic("u", *names)
    joined = told(sk, None, Kind.MEMBER_JOINED)
    assert [each.client for each in joined] == [*names[:EACH_MAX], None]
    assert joined[-1].topic == "u" and joined[-1].data["count"] == EACH_MAX + 1


def test_a_change_of_the_c2_key_is_told_with_its_state(pk2: World) -> None:
    pk2.do(c2keys.new, Reason.ROUTINE)
    pk2.do(c2keys.finish)
    pk2.do(c2keys.new, Reason.ROUTINE)
    pk2.do(c2keys.abort)
    pk2.do(c2keys.new, Reason.COMPROMISED)
    changes = [(each.data["version"], each.data["state"]) for each in told(pk2, None, Kind.C2_KEY_CHANGED)]
    assert changes == [(2, "pending"), (2, "active"), (3, "pending"), (3, "aborted"), (4, "active")]


def test_a_device_that_answers_is_told_once_a_day(fleet: World) -> None:
    seen = [each.client for each in told(fleet, None, Kind.CLIENT_SEEN)]
    assert sorted(filter(None, seen)) == ["a", "b"]
    for hours in (1, 25):
        fleet.clock.now += hours * 3600
        fleet.do(topics.rotate, "t")
        fleet.settle_down()
    assert len(told(fleet, None, Kind.CLIENT_SEEN)) == 4


def test_a_device_that_has_changed_its_key_is_told(fleet: World) -> None:
    fleet.do(clients.new_key, "a", Reason.ROUTINE)
    fleet.settle_down()
    fleet.greet()
    fleet.settle_down()
    assert [each.client for each in told(fleet, None, Kind.CLIENT_KEY_CHANGED)] == ["a"]


def test_pages_go_on_where_the_one_before_ended(sk: World) -> None:
    numbers = tell_some(sk, 5)
    first = sk.do(log.page, None, 2)
    second = sk.do(log.page, first.upto, 2)
    last = sk.do(log.page, second.upto, 2)
    assert [each.id for span in (first, second, last) for each in span.events] == numbers
    assert last.upto == numbers[-1] == sk.do(log.page, numbers[-1], 2).upto


def test_a_kind_that_never_comes_takes_its_reader_along(sk: World) -> None:
    numbers = tell_some(sk, 5)
    span = sk.do(log.page, numbers[0], 2, [Kind.KMS_LOST])
    assert (span.events, span.upto) == ([], numbers[-1])


def test_events_are_kept_for_a_while_and_pruned_in_portions(sk: World) -> None:
    old = tell_some(sk, 6)
    sk.clock.now += DAY_S + 1
    new = tell_some(sk, 2)[-2:]
    left = []
    while sk.do(log.prune, DAY_S, 2):
        left.append(len(told(sk)))
    assert left == [6, 4] and [each.id for each in told(sk)] == [old[-1], *new]


def test_who_has_missed_something_is_told_and_nobody_else(sk: World) -> None:
    old = tell_some(sk, 3)
    sk.clock.now += DAY_S + 1
    new = tell_some(sk, 1)[-1]
    sk.do(log.prune, DAY_S)
    assert [each.id for each in told(sk, old[-1])] == [new]
    for missed in (old[0], old[1], new + 1, 10**15):
        with sk.refuses(NotFound, kind="gone"):
            told(sk, missed)


def test_numbers_never_come_twice(sk: World) -> None:
    last = tell_some(sk, 3)[-1]
    sk.store.run(lambda db: db.execute(sa.delete(event)) and None)
    assert tell_some(sk, 1)[0] > last


@pytest.mark.parametrize("column", ["kind", "created", "client", "data"])
def test_what_was_never_written_there_is_an_alarm(sk: World, column: str) -> None:
    tell_some(sk, 1)
    sk.sql(f"UPDATE event SET {column} = x'ff'")
    with pytest.raises(Tampered):
        told(sk)


@pytest.mark.parametrize("data", ["", "{", "[" * 4000, "7", "[]"])
def test_data_that_is_no_object_is_an_alarm(sk: World, data: str) -> None:
    tell_some(sk, 1)
    sk.sql("UPDATE event SET data = :data", data=data)
    with pytest.raises(Tampered):
        told(sk)


def test_a_transaction_that_fails_leaves_a_gap_and_no_event(sk: World) -> None:
    def fail(db: sa.Connection, realm: Realm, *_: Any) -> None:
        tell(db, realm, Kind.KMS_LOST)
        raise NotFound("on purpose")

    before = tell_some(sk, 1)
    with pytest.raises(NotFound):
        sk.do(fail)
    assert [each.id for each in told(sk)] == before
