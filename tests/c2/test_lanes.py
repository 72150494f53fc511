# SPDX-License-Identifier: Apache-2.0
"""Revocations go first, and what came to nothing stays on record until it is tried again."""

from __future__ import annotations

import pytest

from e4c2 import clients, commands, dead_letters, links, plans, topics
from e4c2.enrolment import bulk
from e4c2.model import Delivery
from e4c2.rows import EXPIRES_S
from e4core.errors import Conflict, NotFound
from e4core.keys import control_topic
from tests.c2.world import World, ours

OTHERS = tuple("cdefgh")


def people(world: World) -> World:
    """Two topics: t of a and b, big of all others."""
    for name in ("a", "b", *OTHERS):
        world.add(name)
    world.topic("t", "a", "b")
    world.topic("big", *OTHERS)
    world.clock.now += 60
    return world


@pytest.fixture
def crowd(world: World) -> World:
    return people(world)


def after_what_is_routine(world: World, *first: str) -> bool:
    """Whether what was done last goes to these before a rotation that was ordered earlier goes to others."""
    claimed = world.claim(len(first))
    return {each.topic for each in claimed} == {control_topic(world.devices[name].id) for name in first}


def test_a_revocation_overtakes_what_is_routine(crowd: World) -> None:
    crowd.do(topics.rotate, "big")
    crowd.do(topics.leave, "t", ["a"])
    revoked = {control_topic(crowd.devices[name].id) for name in "ab"}
    first = crowd.claim(2)
    assert {each.topic for each in first} == revoked
    rest = crowd.claim()
    assert {each.topic for each in rest} - revoked == {control_topic(crowd.devices[name].id) for name in OTHERS}


@pytest.mark.parametrize("wait_s", [None, 600.0])
def test_so_does_the_rotation_that_ends_an_eviction_which_waited(crowd: World, wait_s: float | None) -> None:
    crowd.do(topics.leave, "t", ["a"], rekey=wait_s is not None, wait_s=wait_s)
    crowd.settle_down()
    crowd.do(topics.rotate, "big")
    assert crowd.do(topics.rotate, "t").kind == "rekey"
    assert after_what_is_routine(crowd, "b")
    crowd.crash()
    crowd.settle_down()
    assert crowd.do(topics.rotate, "t").kind == "rotate", "nobody knows its key who should not"


@pytest.mark.format(2)
def test_so_does_the_plan_that_becomes_a_re_key(crowd: World) -> None:
    plan = crowd.do(plans.begin, "t", plans.Terms())
    crowd.do(topics.leave, "t", ["a"], rekey=False)
    crowd.settle_down()
    crowd.do(topics.rotate, "big")
    crowd.do(plans.activate, "t", plan.id, force=True)
    assert after_what_is_routine(crowd, "b")


def test_so_does_the_removal_of_several(crowd: World) -> None:
    crowd.add("x")
    crowd.do(topics.join, "t", ["x"])
    crowd.settle_down()
    crowd.do(topics.rotate, "big")
    crowd.do(bulk.remove_clients, ["a", "x"])
    assert after_what_is_routine(crowd, "b")


@pytest.mark.parametrize("several", [False, True])
def test_who_is_to_be_believed_no_more_is_forgotten_first(pk: World, pk2: World, several: bool) -> None:
    for world in map(people, (pk, pk2)):
        world.befriend("a", "b")
        world.do(topics.rotate, "big")
        world.do(links.reset, "a") if several else world.do(links.remove, "a", "b")
        assert after_what_is_routine(world, "a")


def test_what_takes_nothing_from_anybody_overtakes_nothing(crowd: World) -> None:
    crowd.do(topics.rotate, "big")
    crowd.do(topics.rotate, "t")
    crowd.do(clients.reset, "a")
    assert after_what_is_routine(crowd, "c")


def test_who_was_revoked_gets_what_came_before_it_first(crowd: World) -> None:
    crowd.do(topics.create, "new")
    crowd.do(topics.join, "new", ["b"])
    crowd.do(topics.rotate, "big")
    crowd.do(topics.leave, "t", ["a"])
    since = len(crowd.wire)
    crowd.settle_down()
    hashes = [each.hash if hasattr(each, "hash") else each.topic for _, each in crowd.sent_to("b", since)]
    assert hashes[0] != hashes[-1]
    assert crowd.digest_fits("b")


def test_routine_is_not_kept_for_ever_by_a_revocation_that_cannot_be_sent(crowd: World) -> None:
    crowd.do(topics.leave, "t", ["a"])
    crowd.do(topics.rotate, "big")
    assert len(crowd.claim(500)) == len(OTHERS) + 2


def lost(world: World) -> int:
    """A rotation that a device was sent and has not answered; its number."""
    ours(world, "b").away = True
    world.do(topics.rotate, "t")
    world.settle_down()
    (number,) = [each.id for each in world.deliveries("b") if each.state == Delivery.SENT]
    return number


def state(world: World, number: int) -> str:
    return next(each.state for each in world.deliveries() if each.id == number)


def test_what_no_device_answers_expires_and_a_hello_brings_it_all_the_same(fleet: World) -> None:
    number = lost(fleet)
    fleet.clock.now += EXPIRES_S - 3600
    fleet.do(dead_letters.expire)
    assert state(fleet, number) == Delivery.SENT
    fleet.clock.now += 3601
    fleet.do(dead_letters.expire)
    assert state(fleet, number) == Delivery.EXPIRED
    ours(fleet, "b").away = False
    ours(fleet, "b").inbox.clear()
    fleet.greet("b")
    fleet.receive()
    fleet.settle_down()
    assert fleet.digest_fits("b")


def test_what_was_never_sent_does_not_expire(fleet: World) -> None:
    fleet.do(topics.rotate, "t")
    fleet.clock.now += 2 * EXPIRES_S
    fleet.do(dead_letters.expire)
    fleet.settle_down()
    assert fleet.digest_fits("a") and fleet.digest_fits("b")


def test_what_has_expired_is_tried_again_once(fleet: World) -> None:
    number = lost(fleet)
    fleet.clock.now += EXPIRES_S + 1
    fleet.do(dead_letters.expire)
    ours(fleet, "b").away = False
    operation = fleet.do(dead_letters.retry, number)
    assert (operation.kind, operation.subject, operation.counts) == ("retry", "b", {"pending": 1})
    with fleet.refuses(Conflict):
        fleet.do(dead_letters.retry, number)
    fleet.settle_down()
    assert fleet.digest_fits("b")
    assert fleet.counts(operation) == {"confirmed": 1}


def test_only_what_is_dead_is_tried_again(fleet: World) -> None:
    done = fleet.deliveries("a")[0].id
    with fleet.refuses(Conflict):
        fleet.do(dead_letters.retry, done)
    with fleet.refuses(NotFound):
        fleet.do(dead_letters.retry, 10**6)


def test_an_operation_counts_what_has_expired(fleet: World) -> None:
    number = lost(fleet)
    operation = next(each.operation for each in fleet.deliveries("b") if each.id == number)
    fleet.clock.now += EXPIRES_S + 1
    fleet.do(dead_letters.expire)
    assert fleet.store.run(commands.count, bytes.fromhex(str(operation))).counts[Delivery.EXPIRED] == 1
