# SPDX-License-Identifier: Apache-2.0
"""How long it takes until every member has a new key, who is waited for, and who left and still knows the former one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from e4c2 import changes, clients, departures, plans, standing, steering, topics
from e4c2.audit import chain
from e4c2.audit.chain import Filter
from e4c2.changes import TimeToRevoke
from e4c2.model import Reason, topic_change
from e4c2.plans import Terms
from e4c2.rows import Realm
from e4core.errors import NotFound
from tests.c2.devices import Witness
from tests.c2.world import World


def people(world: World, *names: str) -> None:
    for name in names:
        world.add(name)
    world.topic("t", *names)
    world.do(steering.drive)
    world.clock.now += 60


def revoke(world: World) -> TimeToRevoke:
    return world.do(standing.show, "t").time_to_revoke


def tick(world: World) -> None:
    """As the C2 does every second."""
    if world.store.run(steering.is_due, world.realm):
        world.do(steering.drive)


def with_settings(world: World, **settings: object) -> None:
    world.realm = replace(world.realm, **settings)  # type: ignore[arg-type]


def test_time_to_revoke_ends_when_the_last_member_that_stays_has_confirmed(world: World) -> None:
    people(world, "a", "b", "c")
    world.befriend("a", "b", "c")
    world.devices["b"].away = True
    asked = world.clock.now
    world.do(topics.leave, "t", ["c"])
    world.carry()
    world.obey()
    world.receive()
    world.clock.now = asked + 100
    tick(world)
    assert revoke(world).open_s == 100
    assert world.names(standing.laggards, "t") == ["b"]
    assert not world.store.run(steering.is_due, world.realm), "nothing to do until b has confirmed"
    world.devices["b"].away = False
    world.greet("b")
    world.settle_down()
    world.clock.now = asked + 500
    tick(world)
    assert revoke(world) == TimeToRevoke(None, None, None, 500, 500, 500, 500, 1)
    assert world.names(standing.laggards, "t") == []
    (change, *_) = world.do(standing.history, "t")
    assert (change.cause, change.requested, change.converged, change.members) == ("revocation", asked, asked + 500, 2)


def test_each_member_is_waited_for_in_whatever_order_they_confirm(world: World) -> None:
    names = "abcdefg"
    people(world, *names, "z")
    for name in names:
        world.devices[name].away = True
    world.do(topics.leave, "t", ["z"])
    world.settle_down()
    for name in "dagbfce":
        tick(world)
        assert revoke(world).open_s is not None
        assert name in world.names(standing.laggards, "t")
        world.devices[name].away = False
        world.greet(name)
        world.settle_down()
    tick(world)
    assert revoke(world).open_s is None


def test_who_left_or_was_suspended_meanwhile_is_not_waited_for(world: World) -> None:
    people(world, "a", "b", "c", "d")
    for name in "bc":
        world.devices[name].away = True
    world.do(topics.leave, "t", ["d"])
    world.settle_down()
    world.do(clients.new_key, "b", Reason.COMPROMISED)
    world.do(topics.leave, "t", ["c"])
    world.settle_down()
    for _ in range(3):
        tick(world)
    assert revoke(world).open_s is None
    assert revoke(world).revocations == 3


def test_newer_key_ends_the_wait_for_the_older_one(world: World) -> None:
    people(world, "a", "b")
    world.devices["a"].away = True
    asked = world.clock.now
    world.do(topics.leave, "t", ["b"])
    world.settle_down()
    world.clock.now = asked + 10
    world.do(topics.rotate, "t")
    world.do(topics.rotate, "t")
    world.devices["a"].away = False
    world.greet("a")
    world.settle_down()
    world.clock.now = asked + 100
    tick(world)
    causes = [(each.cause, each.converged) for each in world.do(standing.history, "t")]
    assert causes[:2] == [("rotation", asked + 100), ("revocation", asked + 100)]
    assert len(causes) == 2, "of the rotation in between nobody waits for anything"


@pytest.mark.format(1)
def test_device_that_never_reports_counts_as_sent(world: World) -> None:
    world.add("w", Witness)
    people(world, "a")
    world.do(topics.join, "t", ["w"])
    world.do(topics.leave, "t", ["a"])
    tick(world)
    assert revoke(world).open_s is not None, "not before the broker has it"
    assert world.names(standing.laggards, "t") == ["w"]
    world.settle_down()
    tick(world)
    shown = world.do(standing.show, "t")
    assert (shown.confirmed, shown.sent, shown.behind) == (0, 1, 0)
    (change, *_) = world.do(standing.history, "t")
    assert (change.members, change.unheard) == (1, 1)
    assert [each.key for each in world.do(standing.held_by, "w")] == ["sent"]


@pytest.mark.format(2)
def test_silence_confirms_nothing(world: World) -> None:
    people(world, "a", "b")
    world.add("silent").away = True
    world.do(topics.join, "t", ["silent"])
    world.do(topics.leave, "t", ["a"])
    world.settle_down()
    tick(world)
    shown = world.do(standing.show, "t")
    assert (shown.confirmed, shown.sent, shown.behind) == (1, 0, 1)
    assert [(each.key, each.state) for each in world.do(standing.held_by, "silent")] == [("behind", "sent")]
    assert [each.key for each in world.do(standing.held_by, "b")] == ["confirmed"]
    assert shown.time_to_revoke.open_s is not None


def test_standing_tells_members_apart(world: World) -> None:
    people(world, "a", "b", "c")
    world.do(clients.new_key, "c", Reason.COMPROMISED)
    world.settle_down()
    world.devices["b"].away = True
    world.do(topics.rotate, "t")
    world.settle_down()
    shown = world.do(standing.show, "t")
    assert (shown.members, shown.confirmed, shown.behind, shown.suspended) == (3, 1, 1, 1)
    assert (shown.epoch is None) is (world.suite.format == 1)


def test_laggards_come_in_pages(world: World) -> None:
    people(world, "a", "b", "c", "d")
    for name in "abd":
        world.devices[name].away = True
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.names(standing.laggards, "t", "", 2) == ["a", "b"]
    assert world.names(standing.laggards, "t", "b", 2) == ["d"]


# Evictions that wait for others


def test_evictions_within_a_while_are_one_rekey(world: World) -> None:
    people(world, "a", "b", "c", "d")
    with_settings(world, evictions_wait_s=30)
    key, asked = world.topic_key("t"), world.clock.now
    for name in "bc":
        world.do(topics.leave, "t", [name])
        world.settle_down(400)
        world.clock.now = asked + 20
        tick(world)
        assert world.topic_key("t") == key
    gone = world.do(standing.evicted, "t")
    assert [(each.name, each.rekey_by) for each in gone] == [("b", asked + 30), ("c", asked + 50)]
    assert world.do(standing.show, "t").evicted == 2
    world.clock.now = asked + 30
    before = len(world.wire)
    tick(world)
    assert world.topic_key("t") != key
    (told,) = world.do(chain.page, Filter(action="topic_rekeyed"))
    assert (told.principal, told.objects) == ("c2", (f"topic:{world.do(topics.show, 't').id}",))
    assert world.do(standing.evicted, "t") == []
    world.settle_down()
    world.clock.now = asked + 40
    tick(world)
    assert revoke(world).last_s == 40, "from when the first was to go"
    assert [kind for kind in world.kinds_sent_to("a", before) if kind == "SetTopicKey"] == ["SetTopicKey"]
    assert not world.store.run(steering.is_due, world.realm)


def test_rotation_takes_out_who_left_without_a_rekey(world: World) -> None:
    """Who left may know the key: nobody goes on with it for the grace of a rotation."""
    a, b = world.add("a"), world.add("b")
    world.befriend("a", "b")
    world.topic("t", "a", "b")
    thief = a.thief()
    world.do(topics.leave, "t", ["a"], rekey=False)
    world.settle_down()
    assert world.names(standing.evicted, "t") == ["a"]
    world.clock.now += 1000
    tick(world)
    assert world.names(standing.evicted, "t") == ["a"]
    world.do(topics.rotate, "t")
    world.settle_down()
    world.clock.now += 1
    tick(world)
    assert world.names(standing.evicted, "t") == []
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None
    assert revoke(world).last_s is not None
    assert revoke(world).last_s > 1000  # type: ignore[operator]


def test_eviction_in_a_hurry_takes_out_all_who_wait(world: World) -> None:
    people(world, "a", "b", "c")
    world.do(topics.leave, "t", ["a"], wait_s=1000)
    world.do(topics.leave, "t", ["b"])
    assert world.do(standing.evicted, "t") == []
    assert world.do(standing.history, "t")[0].cause == "revocation"


def test_removed_client_is_waited_for_in_all_its_topics(world: World) -> None:
    people(world, "a", "b")
    world.topic("u", "a", "b")
    keys = [world.topic_key(name) for name in "tu"]
    world.do(clients.remove, "a", wait_s=5)
    assert [world.names(standing.evicted, name) for name in "tu"] == [["a"], ["a"]]
    world.clock.now += 5
    tick(world)
    assert not set(keys) & {world.topic_key(name) for name in "tu"}
    assert [world.do(standing.evicted, name) for name in "tu"] == [[], []]


def test_who_is_taken_back_is_evicted_no_more_unless_it_is_another_device(world: World) -> None:
    people(world, "a", "b", "c")
    for name in "ab":
        world.do(topics.leave, "t", [name], rekey=False)
    world.settle_down()
    world.clock.now += 1
    world.do(clients.remove, "b", rekey=False)
    world.devices.pop("b")
    world.add("b")
    world.do(topics.join, "t", ["a", "b"])
    assert world.names(standing.evicted, "t") == ["b"]


def test_of_one_that_left_twice_the_first_time_and_the_nearer_end_count(world: World) -> None:
    people(world, "a", "b")
    first = world.clock.now
    ends = []
    for waits in ({"rekey": False}, {"wait_s": 100}, {"wait_s": 50}, {"wait_s": 500}, {"rekey": False}):
        world.do(partial(topics.leave, **waits), "t", ["a"])
        world.do(clients.remove, "a", rekey=False)
        world.clock.now += 1
        world.add("a")
        world.do(topics.join, "t", ["a"])
        (gone,) = world.do(standing.evicted, "t")
        assert gone.requested == first
        ends.append(gone.rekey_by and gone.rekey_by - first)
    assert ends == [None, 101, 52, 52, 52]


def test_many_leave_and_only_what_is_planned_is_not_waited_for(sk2: World) -> None:
    people(sk2, "a", "b")
    sk2.topic("u", "a", "b")
    sk2.do(plans.begin, "u", Terms(automatic=False))
    keys = [sk2.topic_key(name) for name in "tu"]
    sk2.do(clients.remove_all, ["a"], wait_s=5)
    assert [before == sk2.topic_key(name) for before, name in zip(keys, "tu", strict=True)] == [True, False]
    assert [sk2.names(standing.evicted, name) for name in "tu"] == [["a"], []]


def test_sooner_eviction_counts(world: World) -> None:
    people(world, "a", "b")
    world.do(topics.leave, "t", ["a"], rekey=False)
    world.do(topics.join, "t", ["a"])
    world.do(topics.leave, "t", ["a"], wait_s=100)
    world.do(clients.remove, "a", wait_s=50)
    (gone,) = world.do(standing.evicted, "t")
    assert gone.rekey_by == world.clock.now + 100, "it is no member any more when it is removed"


def test_crash_before_the_rekey_that_was_put_off_loses_nothing(world: World) -> None:
    people(world, "a", "b")
    key = world.topic_key("t")
    world.do(topics.leave, "t", ["a"], wait_s=10)
    world.clock.now += 10
    world.crash()
    assert world.topic_key("t") == key
    tick(world)
    world.crash()
    world.settle_down()
    world.clock.now += 1
    tick(world)
    assert world.topic_key("t") != key
    assert revoke(world).last_s is not None


def test_topic_that_was_tampered_with_keeps_no_other_waiting(world: World, caplog: pytest.LogCaptureFixture) -> None:
    people(world, "a", "b")
    world.topic("u", "a", "b")
    keys = {name: world.topic_key(name) for name in "tu"}
    for name in "tu":
        world.do(topics.leave, name, ["a"], wait_s=10)
    world.sql("UPDATE topic SET name = 'x' WHERE name = 't'")
    world.clock.now += 10
    tick(world)
    assert world.topic_key("u") != keys["u"]
    assert "could not go on" in caplog.text
    assert not world.store.run(steering.is_due, world.realm), "not again at once"


# What it should be


def test_target_of_a_topic_comes_before_that_of_all(world: World, caplog: pytest.LogCaptureFixture) -> None:
    people(world, "a", "b", "c")
    with_settings(world, revoke_within_s=50.0)
    world.do(topics.leave, "t", ["c"])
    world.settle_down()
    world.clock.now += 5
    tick(world)
    assert (revoke(world).target_s, revoke(world).met) == (50, True)
    assert world.do(topics.aim, "t", 0.5).revoke_within_s == 0.5
    assert revoke(world).met is False
    world.devices["a"].away = True
    world.do(topics.leave, "t", ["b"])
    world.clock.now += 100
    assert world.do(changes.open_revocations) == changes.Open(1, 1, 100.0)
    world.do(topics.aim, "t", None)
    assert (revoke(world).target_s, revoke(world).met) == (50, False)
    with pytest.raises(NotFound):
        world.do(topics.aim, "u", 5.0)


def test_figures_are_of_the_recent_ones(worlds: object, sk2: World) -> None:
    people(sk2, "a")
    now = sk2.clock.now

    def fill(db: object, realm: Realm) -> None:
        of = topics.require(db, realm, "t")["id"]  # type: ignore[arg-type]
        shared = {"topic": of, "cause": "revocation", "begun": now, "mark": 0}
        rows = [{**shared, "requested": now, "ended": now + took} for took in range(1, 201)]
        db.execute(topic_change.insert(), rows)  # type: ignore[attr-defined]

    sk2.do(fill)
    assert revoke(sk2) == TimeToRevoke(None, None, None, 200, 150, 195, 200, 100)
    sk2.clock.now += changes.KEPT_S + 300
    sk2.do(changes.prune)
    assert revoke(sk2).revocations == 0


def test_removed_topic_leaves_nothing_to_wait_for(world: World) -> None:
    people(world, "a", "b")
    world.devices["a"].away = True
    world.do(topics.leave, "t", ["b"], wait_s=5)
    world.do(topics.rotate, "t")
    world.do(topics.remove, "t")
    world.clock.now += 10
    assert not [look for look in (departures.due, plans.due, changes.is_due) if world.store.run(look, world.realm)]
    dump = world.dump()
    assert [dump[name] for name in ("departed", "topic_change", "topic_next", "planned")] == [[], [], [], []]


# Devices that are to get another key


def test_key_changes_are_listed_until_they_are_over(world: World) -> None:
    people(world, "a", "b")
    world.devices["b"].away = True
    begun = world.clock.now
    for name in "ab":
        world.do(clients.new_key, name, Reason.ROUTINE)
    world.clock.now += 7
    assert [(each.name, each.age_s, each.state) for each in world.do(standing.key_changes)] == [
        ("a", 7, "pending"),
        ("b", 7, "pending"),
    ]
    world.settle_down()
    (left,) = world.do(standing.key_changes)
    assert (left.name, left.begun, left.state) == ("b", begun, "sent")
    assert world.do(standing.key_changes, "b") == []
    world.do(clients.new_key, "b", Reason.COMPROMISED)
    assert world.do(standing.key_changes) == []
