# SPDX-License-Identifier: Apache-2.0
"""Eviction evicts: who leaves a topic neither reads nor speaks there any more (rule 5)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from e4c2 import clients, links, topics
from e4c2.acks import MAX_OUTDATED
from e4c2.model import Delivery
from e4core import command2, report
from e4core.command import RemoveTopic, SetTopicKey
from e4core.report import Ack, Outcome
from tests.c2.devices import Ours, Witness
from tests.c2.world import World

Commands = list[tuple[int, Any]]


def hears(world: World, name: str, thief: Ours) -> bool:
    """Whether this device still believes who was evicted from ``t``."""
    world.clock.now += 3
    return world.devices[name].read("t", thief.write("t", world.clock.now), world.clock.now) is not None


def lose(world: World, name: str) -> None:
    """What is sent to this device now does not arrive."""
    world.devices[name].away = True
    world.settle_down()
    world.devices[name].away = False


def is_purge(world: World, topic: str, commands: Commands) -> bool:
    """The present key, and the end of all others at once."""
    return {1: is_purge1, 2: is_purge2}[world.suite.format](world, topic, commands)


def is_purge2(world: World, topic: str, commands: Commands) -> bool:
    (put,) = [each for _, each in commands if isinstance(each, command2.RemoveTopic | command2.SetTopicKey)]
    of = world.suite.derive_topic(topic)
    return isinstance(put, command2.SetTopicKey) and (put.topic, put.key, put.older_until) == (
        of,
        world.topic_key(topic),
        0,
    )


def is_purge1(world: World, topic: str, commands: Commands) -> bool:
    """RemoveTopic, then SetTopicKey with the present key in a later second, and nothing else."""
    (first, remove), (second, put) = [each for each in commands if isinstance(each[1], RemoveTopic | SetTopicKey)]
    of = world.suite.derive_id(topic)
    return remove == RemoveTopic(of) and put == SetTopicKey(world.topic_key(topic), of) and first < second  # type: ignore[arg-type]


def test_eviction_rekeys_for_those_who_stay_with_the_old_key_erased_C_8(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.add("w", Witness)
    world.befriend(*"abw")
    world.topic("t", "a", "b", "w")
    thief, before = a.thief(), len(world.wire)
    operation = world.do(topics.leave, "t", ["a"])
    world.settle_down()
    assert is_purge(world, "t", world.sent_to("b", before))
    assert is_purge(world, "t", world.sent_to("w", before))
    assert "RemoveTopic" in world.kinds_sent_to("a", before)
    assert "SetTopicKey" not in world.kinds_sent_to("a", before)
    assert set(world.counts(operation)) == {Delivery.CONFIRMED} | (
        {Delivery.SENT} if world.suite.format == 1 else set()
    )
    world.clock.now += 3
    forged = thief.write("t", world.clock.now, b"forged")
    assert [each.read("t", forged, world.clock.now) for each in (b, world.devices["w"])] == [None, None]
    data = b.write("t", world.clock.now, b"secret")
    assert [each.read("t", data, world.clock.now) for each in (thief, a)] == [None, None]
    assert world.devices["w"].read("t", data, world.clock.now) == b"secret"
    assert world.names(topics.members, "t") == ["b", "w"]


def test_several_evictions_are_one_rekey(world: World) -> None:
    for name in "abcde":
        world.add(name)
    world.topic("t", *"abcde")
    before = len(world.wire)
    world.do(topics.leave, "t", ["a", "b", "a"])
    world.do(topics.leave, "t", ["c"])
    world.settle_down()
    for name in "de":
        assert is_purge(world, "t", world.sent_to(name, before))
    for name in "abc":
        (removed,) = [each for _, each in world.sent_to(name, before)]
        assert (type(removed).__name__, removed.topic) == ("RemoveTopic", world.suite.derive_topic("t"))


def test_eviction_without_rekey_is_the_operators_choice(world: World) -> None:
    world.add("a")
    world.add("b")
    world.topic("t", "a", "b")
    key, before = world.topic_key("t"), len(world.wire)
    world.do(topics.leave, "t", ["a"], rekey=False)
    world.settle_down()
    assert world.topic_key("t") == key
    assert world.sent_to("b", before) == []
    assert world.digest_fits("a")


def test_eviction_reaches_what_is_already_in_the_outbox(world: World) -> None:
    """Membership is checked again when a command is sealed."""
    a = world.add("a")
    world.add("b")
    world.topic("t", "b")
    world.do(topics.join, "t", ["a"])
    world.do(topics.leave, "t", ["a"])
    world.settle_down()
    assert "SetTopicKey" not in world.kinds_sent_to("a")
    assert a.client.state.topics == {}


def test_evicted_and_taken_back_reads_again(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.befriend(*"ab")
    world.topic("t", "a", "b")
    world.do(topics.leave, "t", ["a"])
    world.do(topics.join, "t", ["a"])
    world.settle_down()
    world.clock.now += 3
    assert world.readers("t", "b") == {"a"}
    assert world.digest_fits("a")
    assert world.digest_fits("b")


def test_purge_that_waits_is_inherited_by_the_next_rotation(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.befriend(*"ab")
    world.topic("t", "a", "b")
    thief, before = a.thief(), len(world.wire)
    world.do(topics.leave, "t", ["a"])
    world.do(topics.rotate, "t")
    world.do(topics.rotate, "t")
    world.settle_down()
    assert is_purge(world, "t", world.sent_to("b", before))
    world.clock.now += 3
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


@pytest.mark.parametrize("kind", [Ours, Witness])
def test_purge_that_a_crash_interrupted_is_inherited_by_the_next_rotation(
    world: World, kind: type[Ours] | type[Witness]
) -> None:
    a, b = world.add("a"), world.add("b", kind)
    world.befriend(*"ab")
    world.topic("t", "a", "b")
    thief = a.thief()
    world.do(topics.leave, "t", ["a"])
    world.claim()
    world.do(topics.rotate, "t")
    world.crash()
    world.settle_down()
    world.clock.now += 3
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


def test_purge_that_the_broker_lost_is_inherited_by_the_next_rotation(world: World) -> None:
    """Of a device that does not report nobody knows what is lost: what the broker has taken counts as sent."""
    a, b = world.add("a"), world.add("b")
    world.befriend(*"ab")
    world.topic("t", "a", "b")
    thief = a.thief()
    b.away = True
    world.do(topics.leave, "t", ["a"])
    world.settle_down()
    b.away = False
    world.do(topics.rotate, "t")
    world.settle_down()
    world.clock.now += 3
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


@pytest.mark.format(1)
def test_purge_of_which_only_the_new_key_arrived_is_not_confirmed(world: World) -> None:
    """A device that connects between the two halves holds the new key, and the old one of the evicted for an hour more."""
    a, b = world.add("a"), world.add("b")
    world.befriend(*"ab")
    world.topic("t", "a", "b")
    thief = a.thief()
    world.do(topics.leave, "t", ["a"])
    world.carry()
    b.inbox.popleft()
    world.settle_down()
    world.clock.now += 60
    world.greet("b")
    world.settle_down()
    world.clock.now += 3
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


def leave_together(world: World) -> None:
    world.do(topics.leave, "t", ["a", "b"])


def leave_together_unheard(world: World) -> None:
    leave_together(world)
    lose(world, "a")


def leave_one_by_one(world: World) -> None:
    for name in "ab":
        world.do(topics.leave, "t", [name])


def make_anew(world: World) -> None:
    world.do(topics.remove, "t")
    world.do(topics.create, "t")


@pytest.mark.parametrize("history", [leave_together, leave_together_unheard, leave_one_by_one, make_anew])
def test_who_left_and_is_taken_back_does_not_hear_those_who_left_for_good(
    world: World, history: Callable[[World], None]
) -> None:
    """What it had to forget, it forgets, even if the topic is its own again before it was told."""
    for name in "abc":
        world.add(name)
    world.befriend(*"abc")
    world.topic("t", *"abc")
    thief = world.devices["b"].thief()  # type: ignore[attr-defined]
    history(world)
    world.do(topics.join, "t", ["a"])
    world.settle_down()
    assert not hears(world, "a", thief)
    assert world.digest_fits("a")


@pytest.mark.format(1)
@pytest.mark.parametrize("swapped_reports", [False, True])
def test_purge_whose_halves_were_swapped_is_not_confirmed(world: World, swapped_reports: bool) -> None:
    a, b = world.add("a"), world.add("b")
    world.befriend(*"ab")
    world.topic("t", "a", "b")
    thief = a.thief()
    world.do(topics.leave, "t", ["a"])
    world.carry()
    b.inbox.reverse()
    world.obey()
    if swapped_reports:
        world.reports.reverse()
    world.settle_down()
    assert not hears(world, "b", thief)
    assert world.states("b") == []


def test_purge_is_given_up_as_refused_when_the_device_never_does_it(sk: World) -> None:
    b = sk.add("b")
    sk.add("a")
    sk.topic("t", "a", "b")
    operation = sk.do(topics.leave, "t", ["a"])
    for _ in range(2 * MAX_OUTDATED):
        for each in sk.claim():
            if each.client == b.id and each.purge_tags:
                refusal = Ack(b.digest(), each.purge_tags[:16], Outcome.REFUSED, "bad_command_length")
                sk.hear(b, report.seal(b.suite, b.channel(), b.id, refusal, os.urandom(16)))
        sk.clock.now += 2
    (seen,) = (each for each in sk.deliveries("b") if each.operation == operation.id)
    assert (seen.state, seen.refusal, seen.attempts) == ("refused", "bad_command_length", MAX_OUTDATED)


@pytest.mark.parametrize("is_reset", [False, True])
def test_digest_proves_no_purge(sk: World, is_reset: bool) -> None:
    """The key of before is not part of it: a device that lost the command that erases it is told again."""
    a, b = sk.add("a"), sk.add("b")
    sk.topic("t", "a", "b")
    thief = a.thief()
    sk.do(topics.leave, "t", ["a"])
    if is_reset:
        lose(sk, "b")
        sk.do(clients.reset, "b")
    sk.carry()
    b.inbox.popleft()
    sk.obey()
    sk.reports.clear()
    sk.clock.now += 30
    sk.greet("b")
    sk.settle_down()
    assert not hears(sk, "b", thief)
    assert sk.states("b") == []
    assert sk.digest_fits("b")


def test_evicted_is_not_believed_by_those_it_shares_no_topic_with(pk: World) -> None:
    for name in "abcd":
        pk.add(name)
    pk.befriend(*"abcd")
    pk.topic("t", "a", "b", "c")
    pk.topic("u", "a", "c", "d")
    pk.do(topics.leave, "t", ["a"])
    pk.settle_down()
    assert pk.names(links.page, "b") == ["c", "d"]
    assert "a" in pk.names(links.page, "c")
    assert pk.devices["a"].id not in pk.devices["b"].client.state.peers  # type: ignore[attr-defined]
    assert all(pk.digest_fits(name) for name in "abcd")


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
def test_order_of_evictions_in_one_request_does_not_matter(pk: World, order: list[str]) -> None:
    for name in "abc":
        pk.add(name)
    pk.befriend(*"abc")
    pk.topic("t", "a", "b", "c")
    pk.do(topics.leave, "t", order)
    held = {name: pk.names(links.page, name) for name in "abc"}
    assert held["c"] == []
    assert (held["a"] == ["b", "c"]) == (held["b"] == ["a", "c"])
