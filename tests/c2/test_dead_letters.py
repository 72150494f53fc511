# SPDX-License-Identifier: Apache-2.0
"""Everything that is sent is over some day, also what nobody answers; and what erases a key is done when the device is back."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import pytest

from e4c2 import clients, commands, dead_letters, delivery, endings, topics
from e4c2.events import log
from e4c2.model import Delivery, EventKind
from e4core.command2 import SetTopicKey
from e4core.keys import report_topic
from tests.c2.conftest import Worlds, two
from tests.c2.devices import Ours, Witness
from tests.c2.test_endings import told
from tests.c2.world import World, ours
from tests.core.suites2 import GCM_SK

EXPIRES_S = 100
"""Less than what a device of Format 1 keeps a former key for."""


@pytest.fixture
def three(fleet: World) -> World:
    return with_a_third(fleet)


def with_a_third(fleet: World) -> World:
    fleet.realm = replace(fleet.realm, expires_s=EXPIRES_S)
    fleet.add("c")
    fleet.do(topics.join, "t", ["c"])
    fleet.befriend(*"abc")
    fleet.settle_down()
    told(fleet)
    return fleet


def expire(world: World) -> None:
    world.clock.now += EXPIRES_S + 1
    world.do(dead_letters.expire)


def states(world: World, name: str) -> set[str]:
    return {each.state for each in world.deliveries(name)}


def is_back(world: World, name: str) -> None:
    world.devices[name].away = False
    world.clock.now += 60
    world.greet(name)
    world.settle_down()
    assert world.digest_fits(name)
    assert states(world, name) <= {Delivery.CONFIRMED, Delivery.SUPERSEDED}, "nothing is dead any more, or on its way"


def reads(world: World, name: str, thief: Ours) -> bool:
    return world.devices[name].read("t", thief.write("t", world.clock.now), world.clock.now) is not None


def test_an_eviction_ends_although_a_member_that_reports_is_never_heard_of_again(three: World) -> None:
    ours(three, "b").away = True
    evicted = three.do(topics.leave, "t", ["c"])
    three.settle_down()
    assert told(three, endings.LONGEST_S) == []
    three.do(dead_letters.expire)
    (event,) = told(three, endings.LONGEST_S)
    assert (event.kind, event.data["operation"]) == (EventKind.OPERATION_EXPIRED, evicted.id)
    assert told(three, 3600) == []
    dead = three.store.run(commands.page, 0, 100, None, Delivery.EXPIRED)
    assert {(each.client, each.operation) for each in dead} == {("b", evicted.id)}


def test_who_missed_an_eviction_that_has_expired_forgets_the_former_key_when_it_is_back(three: World) -> None:
    thief, b = ours(three, "c").thief(), ours(three, "b")
    b.away = True
    three.do(topics.leave, "t", ["c"])
    three.settle_down()
    expire(three)
    assert Delivery.EXPIRED in states(three, "b")
    assert reads(three, "b", thief)
    is_back(three, "b")
    assert not reads(three, "b", thief)


def has_missed_what_erases(world: World) -> Ours:
    """Format 1: "b" got the new key after an eviction, and not what erases the former one; it has expired. Who was evicted."""
    thief, b = ours(world, "c").thief(), ours(world, "b")
    world.do(topics.leave, "t", ["c"])
    sealed = world.claim()
    for each in sealed:
        world.publish(each)
    del b.inbox[-2]
    world.obey()
    world.reports = deque(each for each in world.reports if each.topic != report_topic(b.id))
    world.settle(sealed)
    world.settle_down()
    expire(world)
    assert world.digest_fits("b")
    assert Delivery.EXPIRED in states(world, "b")
    assert reads(world, "b", thief) is world.suite.is_symmetric
    return thief


@pytest.mark.format(1)
@pytest.mark.parametrize("alone", [True, False])
def test_who_has_the_new_key_and_missed_what_erases_the_former_one_forgets_it_when_it_is_back(
    three: World, alone: bool
) -> None:
    """Its digest is that of one that has. In suites with public keys it believes the evicted no more in any case."""
    thief = has_missed_what_erases(three)
    before = len(three.wire)
    if not alone:  # reports of several are taken at once
        three.clock.now += 60
        three.greet("a", "c")
    is_back(three, "b")
    assert not reads(three, "b", thief)
    assert three.kinds_sent_to("b", before)[-2:] == ["RemoveTopic", "SetTopicKey"]


@pytest.mark.format(1)
def test_what_is_waited_for_again_does_not_expire_before_it_can_be_answered(three: World) -> None:
    thief = has_missed_what_erases(three)
    before = len(three.wire)
    three.greet("b")
    three.receive()
    three.do(delivery.tidy)
    assert Delivery.EXPIRED not in states(three, "b")
    three.settle_down()
    assert not reads(three, "b", thief)
    assert three.kinds_sent_to("b", before) == ["RemoveTopic", "RemoveTopic", "SetTopicKey"], (
        "a Sync, and what it showed"
    )


@pytest.mark.format(1)
def test_who_says_hello_and_answers_nothing_lets_things_expire_as_seldom_as_others(three: World) -> None:
    before = three.store.run(log.newest)
    ours(three, "b").away = True
    three.do(topics.rotate, "t")
    three.settle_down()
    for _ in range(2):
        for _ in range(10):
            three.clock.now += EXPIRES_S / 10 + 1
            three.do(delivery.tidy)
            three.greet("b")
            three.settle_down()
    told = [event.kind for event in three.do(log.page, before, 1000, (EventKind.DELIVERY_EXPIRED,)).events]
    assert len(told) == 2


@pytest.mark.parametrize("purge", [True, False])
def test_what_was_overtaken_ends_no_grace_of_a_later_key(three: World, purge: bool) -> None:
    a, b = ours(three, "a"), ours(three, "b")
    b.away = True
    three.do(topics.leave, "t", ["c"]) if purge else three.do(topics.rotate, "t")
    three.settle_down()
    three.clock.now += three.realm.grace_s
    expire(three)
    b.away = False  # its hello was lost, and a broker that keeps its session brings what comes now
    three.do(topics.rotate, "t")
    three.settle_down()
    assert three.digest_fits("b")
    before = [a.write("t", three.clock.now, text) for text in (b"one", b"two")]
    three.do(topics.rotate, "t")
    three.settle_down()
    assert b.read("t", before[0], three.clock.now) == b"one"
    three.clock.now += 60
    three.greet("b")
    three.settle_down()
    assert b.read("t", before[1], three.clock.now) == b"two"
    assert states(three, "b") <= {Delivery.CONFIRMED, Delivery.SUPERSEDED}


@pytest.mark.parametrize("suite", ["sk", GCM_SK.name])
def test_a_reset_that_was_never_answered_takes_no_eviction_with_it(worlds: Worlds, suite: str) -> None:
    """One that is back may answer what comes next before it says hello, and then it is not emptied any more."""
    three = with_a_third(worlds.peopled(suite, two))
    b, c = ours(three, "b"), ours(three, "c")
    thief = c.thief()
    b.away = True
    three.do(topics.leave, "t", ["c"])
    three.settle_down()
    three.do(clients.reset, "b")
    three.settle_down()
    expire(three)
    b.away = False
    three.do(topics.rotate, "t")
    three.settle_down()
    three.clock.now += 3
    assert three.digest_fits("b")
    assert not reads(three, "b", thief)


@pytest.mark.format(2)
def test_what_may_have_been_done_is_done_again_as_no_digest_shows_former_keys(three: World) -> None:
    three.do(topics.leave, "t", ["c"])
    three.carry()
    three.obey()
    three.reports.clear()
    expire(three)
    assert three.digest_fits("b")
    before = len(three.wire)
    is_back(three, "b")
    assert {each.older_until for _, each in three.sent_to("b", before) if isinstance(each, SetTopicKey)} == {0}


@pytest.mark.format(2)
def test_one_that_was_never_heard_of_keeps_nothing_open_and_still_forgets(three: World) -> None:
    silent = three.add("silent")
    three.do(topics.join, "t", ["silent"])
    silent.away = True
    three.settle_down()
    three.do(topics.leave, "t", ["c"])
    three.settle_down()
    told(three, 30)
    expire(three)
    assert [event.kind for event in told(three, endings.LONGEST_S)] == [EventKind.OPERATION_EXPIRED]
    assert Delivery.SENT not in states(three, "silent")
    three.do(topics.rotate, "t")
    before = len(three.wire)
    three.carry()
    (sent,) = [each for _, each in three.sent_to("silent", before) if isinstance(each, SetTopicKey)]
    assert sent.older_until == 0, "it never said that it has forgotten the former key"
    three.settle_down()
    is_back(three, "silent")


@pytest.mark.format(2)
def test_what_is_sealed_anew_again_and_again_is_over_some_day_too(three: World) -> None:
    """To one that is away each command has all that it has not answered yet."""
    three.topic("u", *"ab")
    three.settle_down()
    ours(three, "b").away = True
    evicted = three.do(topics.leave, "t", ["c"])
    for _ in range(3):
        three.do(topics.rotate, "u")
        three.settle_down()
        three.clock.now += EXPIRES_S / 2
        three.do(dead_letters.expire)
    counted = three.store.run(commands.count, bytes.fromhex(evicted.id))
    assert counted.awaited == 0
    assert counted.counts[Delivery.EXPIRED]


@pytest.mark.format(2)
def test_an_answer_is_one_to_what_of_its_command_has_expired_too(three: World) -> None:
    three.topic("u", *"ab")
    three.settle_down()
    b = ours(three, "b")
    b.away = True
    three.do(topics.leave, "t", ["c"])
    three.settle_down()
    three.clock.now += EXPIRES_S / 2
    three.do(topics.rotate, "u")
    b.away = False
    three.carry()  # one command with both
    three.clock.now += EXPIRES_S / 2 + 1
    three.do(dead_letters.expire)
    assert {Delivery.EXPIRED, Delivery.SENT} <= states(three, "b")
    three.obey()
    three.receive()
    assert states(three, "b") <= {Delivery.CONFIRMED, Delivery.SUPERSEDED}


def test_what_was_sent_by_a_clock_that_was_ahead_is_over_some_day_too(three: World) -> None:
    ours(three, "b").away = True
    three.clock.now += 10 * EXPIRES_S
    three.do(topics.leave, "t", ["c"])
    three.settle_down()
    three.clock.now -= 10 * EXPIRES_S
    three.do(dead_letters.expire)
    assert Delivery.EXPIRED not in states(three, "b")
    expire(three)
    assert Delivery.SENT not in states(three, "b")


def test_a_reset_that_has_expired_takes_away_nothing_that_was_confirmed_since(three: World) -> None:
    a, b = ours(three, "a"), ours(three, "b")
    three.topic("u", *"ab")
    three.settle_down()
    three.do(clients.reset, "b")
    for _ in range(12):  # it does all, and nobody hears that it has
        three.carry()
        three.obey()
        three.reports.clear()
        three.clock.now += 1
    assert three.digest_fits("b")
    expire(three)
    assert Delivery.EXPIRED in states(three, "b")
    three.do(topics.rotate, "t")
    three.settle_down()
    assert three.digest_fits("b")
    three.clock.now += 60
    three.greet("b")
    before = len(three.wire)
    for second in range(12):
        three.carry()
        three.obey()
        said = str(second).encode()
        assert b.read("t", a.write("t", three.clock.now, said), three.clock.now) == said
        three.receive()
        three.clock.now += 1
    assert not {"ResetTopics", "ResetPeers"} & set(three.kinds_sent_to("b", before))
    assert three.digest_fits("b")
    assert states(three, "b") <= {Delivery.CONFIRMED, Delivery.SUPERSEDED}


@pytest.mark.format(1)
def test_what_is_sent_to_one_that_never_reports_is_done(three: World) -> None:
    three.add("w", Witness)
    three.do(topics.join, "t", ["w"])
    three.do(topics.leave, "t", ["c"])
    three.settle_down()
    expire(three)
    assert Delivery.EXPIRED not in states(three, "w")
