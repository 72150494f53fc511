# SPDX-License-Identifier: Apache-2.0
"""Planned rotations: the next key is at the members before anybody uses it, and giving it up leaves them with what they had."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest

from e4c2 import changes, clients, commands, departures, plans, standing, steering, topics
from e4c2.audit import chain
from e4c2.audit.chain import Filter
from e4c2.model import AtDeadline, Reason
from e4c2.plans import Plan, Terms
from e4core import transition2
from e4core.command2 import SetTopicKey
from e4core.errors import Conflict, NotFound, UnsupportedSuite
from e4core.keys import TopicKey
from tests.c2.conftest import FORMAT2, Worlds
from tests.c2.test_sealing2 import topic_keys
from tests.c2.world import World, ours

BY_HAND = Terms(automatic=False)


def three(world: World) -> None:
    for name in "abc":
        world.add(name)
    world.befriend("a", "b", "c")
    world.topic("t", "a", "b", "c")
    world.do(steering.drive)
    world.clock.now += 60


@pytest.fixture
def team(request: pytest.FixtureRequest, worlds: Worlds) -> World:
    """Of a suite of Format 2, one or the other by chance but always the same for a test."""
    return worlds.peopled(FORMAT2[crc32(request.node.name.encode()) % len(FORMAT2)], three)


def tick(world: World, seconds: float = 1) -> None:
    world.clock.now += seconds
    if world.store.run(steering.is_due, world.realm):
        world.do(steering.drive)


def now(world: World) -> Plan:
    return world.do(plans.page, "t")[0]


def sends(world: World, name: str) -> int:
    """The epoch in which a device sends."""
    return int.from_bytes(world.devices[name].write("t", world.clock.now, b"x")[1:5], "little")


def by_itself(world: World) -> list[tuple[str, str]]:
    """What the C2 has done of itself, by the audit log, and with which plan."""
    told = [
        each for each in world.do(chain.page, Filter(principal="c2")) if each.action.startswith(("plan_", "topic_"))
    ]
    return [(each.action, each.objects[-1].removeprefix("plan:")) for each in told]


def all_read(world: World) -> bool:
    return all(world.readers("t", name) == {"a", "b", "c"} - {name} for name in "abc")


def test_nobody_sends_under_the_key_before_all_hold_it(team: World) -> None:
    team.devices["c"].away = True
    before, used = len(team.wire), sends(team, "a")
    plan = team.do(plans.begin, "t", Terms())
    team.settle_down()
    tick(team)
    assert {each.use for name in "ab" for each in topic_keys(team, name, before)} == {0}
    assert (now(team).state, now(team).holding, now(team).needed) == ("distributing", 2, 3)
    assert [sends(team, name) for name in "abc"] == [used] * 3
    assert all(team.digest_fits(name) for name in "ab")
    team.devices["c"].away = False
    team.greet("c")
    team.settle_down()
    tick(team)
    assert now(team).state == "activating"
    mid = len(team.wire)
    team.carry()
    early = team.devices["a"].inbox.popleft()
    team.devices["a"].inbox.clear()
    for report in team.devices["a"].take(early, team.clock.now):
        team.hear(team.devices["a"], report)
    assert sends(team, "a") == plan.epoch != used
    assert team.readers("t", "a") == {"b", "c"}, "who has not heard of it yet reads it already"
    assert team.readers("t", "b") == {"a", "c"}, "and is still read"
    team.settle_down()
    tick(team)
    assert (now(team).state, now(team).holding, now(team).members) == ("done", 3, 3)
    assert {each.use for name in "abc" for each in topic_keys(team, name, mid)} == {1}
    assert [sends(team, name) for name in "abc"] == [plan.epoch] * 3
    assert all(team.digest_fits(name) for name in "abc")
    assert all_read(team)


def test_former_key_is_over_its_grace_after_the_activation_also_for_who_was_away(team: World) -> None:
    team.devices["c"].away = True
    team.do(plans.begin, "t", Terms(quorum=0.6, within_s=10 * 24 * 3600))
    team.clock.now += 5 * 24 * 3600
    team.settle_down()
    before = len(team.wire)
    tick(team)
    activated = int(team.clock.now)
    team.settle_down()
    team.devices["c"].away = False
    team.greet("c")
    team.settle_down()
    told = {each.older_until for name in "abc" for each in topic_keys(team, name, before)}
    assert told == {activated + team.realm.grace_s}
    assert all_read(team)


def test_plan_of_an_empty_topic_is_ready_at_once(sk2: World) -> None:
    sk2.do(topics.create, "t")
    sk2.do(plans.begin, "t", Terms())
    tick(sk2)
    tick(sk2)
    assert now(sk2).state == "done"


def test_operator_activates_at_the_quorum_or_by_force(team: World) -> None:
    team.devices["c"].away = True
    plan = team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    with team.refuses(Conflict):
        team.do(plans.activate, "t", plan.id)
    assert team.do(plans.activate, "t", plan.id, force=True).state == "activating"
    with team.refuses(Conflict):
        team.do(plans.abort, "t", plan.id)
    team.settle_down()
    team.devices["c"].away = False
    team.greet("c")
    team.settle_down()
    tick(team)
    assert (now(team).state, now(team).reason) == ("done", "operator")
    assert all_read(team)


def test_ready_plan_waits_for_its_operator(team: World) -> None:
    plan = team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    for _ in range(3):
        tick(team)
    assert now(team).state == "ready"
    team.do(plans.activate, "t", plan.id)
    team.settle_down()
    tick(team)
    assert now(team).state == "done"
    with team.refuses(Conflict):
        team.do(plans.activate, "t", plan.id)


@pytest.mark.parametrize(("choice", "state"), [(AtDeadline.ACTIVATE, "activating"), (AtDeadline.ABORT, "aborted")])
def test_deadline_decides_where_the_quorum_does_not(team: World, choice: AtDeadline, state: str) -> None:
    team.devices["c"].away = True
    team.do(plans.begin, "t", Terms(within_s=1000, at_deadline=choice))
    team.settle_down()
    tick(team, 1000)
    assert (now(team).state, now(team).reason) == (state, "deadline")
    assert by_itself(team) == [("plan_aborted" if choice is AtDeadline.ABORT else "plan_activated", now(team).id)]
    team.settle_down()
    team.devices["c"].away = False
    team.greet("c")
    team.settle_down()
    assert all_read(team)
    assert all(team.digest_fits(name) for name in "abc")


@pytest.mark.parametrize("told", ["nobody", "some", "all", "unconfirmed"])
def test_abort_leaves_nobody_stranded(team: World, told: str) -> None:
    team.devices["c"].away = told == "some"
    used = sends(team, "a")
    plan = team.do(plans.begin, "t", BY_HAND)
    if told == "unconfirmed":
        team.carry()
        team.obey()
        team.reports.clear()
    elif told != "nobody":
        team.settle_down()
    assert team.do(plans.abort, "t", plan.id).state == "aborted"
    team.crash()
    team.settle_down()
    team.devices["c"].away = False
    team.greet()
    team.settle_down()
    assert all_read(team)
    assert [sends(team, name) for name in "abc"] == [used] * 3
    for name in "abc":
        assert team.digest_fits(name)
        client: Any = ours(team, name).client
        of = team.suite.derive_topic("t")
        assert [each.number for each in client.state.topics[of]] == [used]
    # and what comes after it is in order
    team.do(plans.begin, "t", Terms())
    for _ in range(3):
        team.settle_down()
        tick(team)
    assert (now(team).state, sends(team, "a") > plan.epoch) == ("done", True)
    team.do(topics.rotate, "t")
    team.settle_down()
    assert all_read(team)
    assert all(team.digest_fits(name) for name in "abc")


def test_plan_after_one_whose_end_did_not_reach_everybody(team: World) -> None:
    first = team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    team.devices["a"].away = True
    team.do(plans.abort, "t", first.id)
    team.settle_down()
    team.do(plans.begin, "t", Terms())
    team.settle_down()
    team.devices["a"].away = False
    team.greet("a")
    for _ in range(3):
        team.settle_down()
        tick(team)
    assert now(team).state == "done"
    assert all_read(team)
    assert all(team.digest_fits(name) for name in "abc")


@pytest.mark.parametrize("how", ["leave", "remove", "compromised", "deferred"])
def test_eviction_makes_it_an_immediate_one_under_a_key_that_was_not_handed_out(team: World, how: str) -> None:
    plan = team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    thief = team.devices["c"].again()
    if how == "leave":
        team.do(topics.leave, "t", ["c"])
    elif how == "deferred":
        team.do(topics.leave, "t", ["c"], wait_s=1000)
    elif how == "remove":
        team.do(clients.remove, "c")
    else:
        team.do(clients.new_key, "c", Reason.COMPROMISED)
    assert (now(team).state, now(team).reason) == ("aborted", "replaced")
    before = len(team.wire)
    team.settle_down()
    after = [each for name in "ab" for each in topic_keys(team, name, before)]
    assert {(each.epoch > plan.epoch, each.use, each.older_until) for each in after} == {(True, 1, 0)}
    data = team.devices["a"].write("t", team.clock.now, b"secret")
    assert thief.read("t", data, team.clock.now) is None
    assert team.devices["b"].read("t", data, team.clock.now) == b"secret"
    with team.refuses(Conflict):
        team.do(plans.activate, "t", plan.id)


def test_eviction_without_a_rekey_keeps_the_key_from_being_used(team: World) -> None:
    plan = team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    thief = team.devices["c"].again()
    team.do(topics.leave, "t", ["c"], rekey=False)
    team.do(plans.activate, "t", plan.id)
    assert (now(team).state, now(team).reason) == ("aborted", "replaced")
    operation = team.store.run(commands.count, bytes.fromhex(now(team).operation))
    assert (operation.kind, operation.counts) == ("rekey", {"pending": 2}), "what sends the other key"
    team.settle_down()
    assert thief.read("t", team.devices["a"].write("t", team.clock.now, b"x"), team.clock.now) is None
    assert sends(team, "a") > plan.epoch


@pytest.mark.parametrize(("terms", "after_s"), [(Terms(), 1), (Terms(automatic=False, within_s=1000), 1000)])
def test_audit_log_tells_a_rekey_from_an_activation(team: World, terms: Terms, after_s: float) -> None:
    """At the quorum, and at the deadline."""
    plan = team.do(plans.begin, "t", terms)
    team.settle_down()
    team.do(topics.leave, "t", ["c"], rekey=False)
    tick(team, after_s)
    assert now(team).reason == "replaced"
    assert by_itself(team) == [("topic_rekeyed", plan.id)]


def test_rotation_at_once_goes_before(team: World) -> None:
    team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    team.do(topics.rotate, "t")
    assert now(team).state == "aborted"
    team.settle_down()
    assert all_read(team)
    plan = team.do(plans.begin, "t", Terms())
    team.settle_down()
    tick(team)
    team.do(topics.rotate, "t")
    assert (now(team).state, now(team).reason) == ("done", "replaced")
    team.settle_down()
    assert sends(team, "a") > plan.epoch
    assert all(team.digest_fits(name) for name in "abc")


def test_who_joins_or_is_caught_up_meanwhile_gets_both_keys(team: World) -> None:
    plan = team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    d = team.add("d")
    team.befriend("a", "d")
    before = len(team.wire)
    team.do(topics.join, "t", ["d"])
    team.do(clients.reset, "a")
    team.settle_down()
    for name in "ad":
        keys = [(each.epoch == plan.epoch, each.use) for each in topic_keys(team, name, before)]
        assert keys == [(False, 1), (True, 0)]
        assert team.digest_fits(name)
    tick(team)
    assert (now(team).holding, now(team).needed) == (4, 4)
    team.do(plans.activate, "t", plan.id)
    team.settle_down()
    assert d.read("t", team.devices["a"].write("t", team.clock.now, b"hi"), team.clock.now) == b"hi"


def test_device_that_refused_the_key_is_caught_up_with_it(team: World) -> None:
    """It was restored from another time, and holds another key under this number."""
    plan = team.do(plans.begin, "t", BY_HAND)
    c: Any = team.devices["c"]
    of: Any = team.suite.derive_topic("t")
    alien = SetTopicKey(of, plan.epoch + 5, TopicKey(bytes(range(32))))
    c.client.state.topics[of] = transition2._set_topic_key(team.suite, c.client.state, alien).topics[of]
    team.settle_down(600)
    assert team.digest_fits("c")
    tick(team)
    assert now(team).state == "ready"


@pytest.mark.parametrize("steps", range(6))
def test_plan_survives_a_crash_between_any_two_steps(team: World, steps: int) -> None:
    """Also one in the midst of it: each step is one transaction."""
    team.do(plans.begin, "t", Terms())
    work = [team.carry, team.obey, team.receive, lambda: tick(team), team.carry, team.receive]
    for step in work[:steps]:
        step()
    team.reports.clear()
    team.crash()
    for _ in range(3):
        team.greet()
        team.settle_down()
        tick(team)
    assert now(team).state == "done"
    assert all_read(team)
    assert all(team.digest_fits(name) for name in "abc")


def test_suspended_member_is_not_waited_for(team: World) -> None:
    team.do(clients.new_key, "c", Reason.COMPROMISED)
    team.settle_down()
    team.do(plans.begin, "t", Terms())
    team.settle_down()
    tick(team)
    assert (now(team).state, now(team).members) == ("activating", 2)


def test_one_plan_at_a_time_and_none_while_somebody_is_to_be_re_keyed_out(team: World) -> None:
    team.do(plans.begin, "t", BY_HAND)
    with team.refuses(Conflict):
        team.do(plans.begin, "t", Terms())
    team.do(topics.rotate, "t")
    team.do(topics.leave, "t", ["c"], wait_s=100)
    with team.refuses(Conflict):
        team.do(plans.begin, "t", Terms())
    with team.refuses(NotFound):
        team.do(plans.begin, "u", Terms())
    with team.refuses(NotFound):
        team.do(plans.show, "t", "0" * 32)


def test_plan_is_not_used_if_its_key_was_tampered_with(team: World, caplog: pytest.LogCaptureFixture) -> None:
    team.do(plans.begin, "t", Terms())
    team.settle_down()
    team.sql("UPDATE topic_next SET used = used + 1")
    before = sends(team, "a")
    tick(team)
    tick(team)
    assert now(team).state in ("distributing", "ready")
    assert sends(team, "a") == before
    assert "could not go on" in caplog.text


def test_topic_that_is_removed_takes_its_plan_along(team: World) -> None:
    team.do(plans.begin, "t", Terms())
    team.settle_down()
    team.do(topics.remove, "t")
    team.settle_down()
    assert team.dump()["topic_next"] == team.dump()["planned"] == []
    for due in (plans.due, departures.due, changes.is_due):
        assert not team.store.run(due, team.realm)
    assert all(team.digest_fits(name) for name in "abc")


def test_standing_tells_the_epoch_in_use(team: World) -> None:
    used = sends(team, "a")
    plan = team.do(plans.begin, "t", BY_HAND)
    team.settle_down()
    assert team.do(standing.show, "t").epoch == used
    team.do(plans.activate, "t", plan.id)
    assert team.do(standing.show, "t").epoch == plan.epoch


@pytest.mark.format(1)
def test_suites_whose_devices_hold_one_key_refuse(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    with world.refuses(UnsupportedSuite):
        world.do(plans.begin, "t", Terms())
