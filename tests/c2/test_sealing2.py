# SPDX-License-Identifier: Apache-2.0
"""Format 2: one command a device, with all that it is still to do, under a number that never comes again."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from e4c2 import clients, commands, topics
from e4c2.model import Delivery, Kind, Reason
from e4core.command2 import RemoveTopic, SetTopicKey
from e4core.control2 import sequence_of
from e4core.errors import AuthenticationFailed
from e4core.keys import control_topic
from tests.c2.world import Sent, World

pytestmark = pytest.mark.format(2)


def sent_to(world: World, name: str) -> list[Sent]:
    return [each for each in world.wire if each.topic == control_topic(world.devices[name].id)]


def numbers(world: World, name: str) -> list[int]:
    return [sequence_of(world.suite, each.payload) for each in sent_to(world, name)]


def topic_keys(world: World, name: str, since: int) -> list[SetTopicKey]:
    return [each for _, each in world.sent_to(name, since) if isinstance(each, SetTopicKey)]


def test_all_that_waits_for_a_device_is_one_command(world: World) -> None:
    world.add("a")
    for topic in "tuvw":
        world.do(topics.create, topic)
        world.do(topics.join, topic, ["a"])
    assert [len(each.payloads) for each in world.claim()] == [1]
    world.crash()
    world.settle_down()
    assert sorted(world.kinds_sent_to("a")) == ["SetTopicKey"] * 4
    assert world.digest_fits("a")


def test_command_contains_what_the_one_before_it_has_not_confirmed(world: World) -> None:
    a = world.add("a")
    for topic in "tu":
        world.do(topics.create, topic)
    operations = []
    a.away = True
    for topic in "tu":
        operations.append(world.do(topics.join, topic, ["a"]))
        world.carry()
        world.clock.now += 1
    a.away = False
    lost, latest = sent_to(world, "a")
    a.inbox.append(latest.payload)
    world.settle_down()
    assert a.key("t") == world.topic_key("t")
    assert a.key("u") == world.topic_key("u")
    assert [world.counts(each) for each in operations] == [{"confirmed": 1}] * 2
    a.inbox.append(lost.payload)
    world.obey()
    assert not world.reports, "a command that is out of date is not even answered"


def test_what_is_confirmed_is_not_sent_again(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.topic("u", "a")
    before = len(world.wire)
    world.do(topics.rotate, "u")
    world.settle_down()
    assert [each.topic for each in topic_keys(world, "a", before)] == [world.suite.derive_topic("u")]


def test_rotations_that_were_sent_in_vain_leave_one_delivery(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    for _ in range(30):
        world.do(topics.rotate, "t")
        world.carry()
        world.clock.now += 60
    assert world.states("a") == [("a", "topic", "sent")]


def test_sequences_rise_whatever_the_clock_does(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    for step in (0, -3600, 5, 1e6, -1e6, 0.000_001):
        world.clock.now += step
        world.do(topics.rotate, "t")
        world.carry()
        world.obey()
        world.crash()
        world.receive()
    mine = numbers(world, "a")
    assert mine == sorted(set(mine))
    assert world.digest_fits("a")


def test_sequence_is_a_microsecond_of_the_clock(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    assert numbers(world, "a") == [int(sent.now * 1_000_000) for sent in sent_to(world, "a")]


def test_restored_c2_repeats_no_sequence_and_no_epoch(world: World) -> None:
    """As all that it did since the backup is gone, the clock alone knows better."""
    a = world.add("a")
    world.topic("t", "a")
    world.store.close()
    backup = world.database.read_bytes()
    world.open()
    for _ in range(3):
        world.clock.now += 10
        world.do(topics.rotate, "t")
        world.settle_down()
    used, epochs = numbers(world, "a"), {each.epoch for each in topic_keys(world, "a", 0)}
    world.store.close()
    world.database.write_bytes(backup)
    world.open()
    before = len(world.wire)
    world.clock.now += 1
    world.do(topics.rotate, "t")
    world.settle_down()
    assert min(numbers(world, "a")[len(used) :]) > max(used)
    assert {each.epoch for each in topic_keys(world, "a", before)}.isdisjoint(epochs)
    assert a.key("t") == world.topic_key("t")


def test_salt_and_so_every_byte_is_fresh_when_the_same_is_sent_again(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    world.do(topics.rotate, "t")
    for _ in range(3):
        world.claim()
        world.crash()
    world.carry()
    salts = [each.payload[10:26] for each in sent_to(world, "a")]
    assert len(set(salts)) == len(salts)


def test_topic_that_is_gone_is_named_in_full(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    before = len(world.wire)
    world.do(topics.remove, "t")
    world.settle_down()
    assert [each for _, each in world.sent_to("a", before)] == [RemoveTopic(world.suite.derive_topic("t"))]  # type: ignore[arg-type]


def test_suspended_client_is_sent_nothing(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    world.store.run(lambda db: commands.enqueue(db, world.realm, None, [world.devices["a"].id], Kind.RESET_TOPICS))
    assert [each for each in world.claim() if each.payloads] == []
    assert not world.count(Delivery.PENDING, Delivery.SENDING)


def test_rows_of_the_outbox_that_nobody_could_have_written_grant_nothing(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.topic("t", "b")

    def forge(db: sa.Connection) -> None:
        t = world.suite.derive_id("t")
        wanted = [(Kind.TOPIC, t), (Kind.TOPIC, bytes(16)), (Kind.ID_KEY, bytes(16)), (Kind.SWITCH, bytes(16))]
        wanted += [] if world.suite.is_symmetric else [(Kind.PEER, bytes(b.id))]
        for kind, target in wanted:
            commands.enqueue(db, world.realm, None, [a.id], kind, target)

    world.store.run(forge)
    world.settle_down()
    assert not {"SetTopicKey", "SetPubKey", "SetIDKey", "NewIDKey"} & set(world.kinds_sent_to("a"))
    assert (a.client.state.topics, a.client.state.peers) == ({}, {})
    assert world.states("a") == [], "what asks for nothing is not kept"


def test_command_opens_at_its_own_device_alone(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    world.carry()
    swapped = {"a": b.inbox.popleft(), "b": a.inbox.popleft()}
    before = [a.client.state, b.client.state]
    for name, payload in swapped.items():
        with pytest.raises(AuthenticationFailed):
            world.devices[name].client.command(payload, world.clock.now)  # type: ignore[attr-defined]
    assert [a.client.state, b.client.state] == before


def test_client_that_is_removed_and_made_anew_begins_anew(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    world.do(clients.remove, "a")
    assert world.dump()["command_sequence"] == []
    again = world.add("a")
    world.do(topics.join, "t", ["a"])
    world.settle_down()
    assert again.key("t") == world.topic_key("t") != a.key("t")


def test_links_and_topics_of_a_device_come_in_one_catch_up(pk2: World) -> None:
    for name in "abc":
        pk2.add(name)
    pk2.befriend(*"abc")
    for topic in "tu":
        pk2.topic(topic, "a")
    before = len(pk2.wire)
    pk2.do(clients.reset, "a")
    pk2.settle_down()
    kinds = pk2.kinds_sent_to("a", before)
    assert kinds == ["ResetTopics", *["SetTopicKey"] * 2, "ResetPubKeys", *["SetPubKey"] * 2]
    assert len([each for each in pk2.wire[before:] if each in sent_to(pk2, "a")]) == 1
