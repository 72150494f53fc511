# SPDX-License-Identifier: Apache-2.0
"""Topics and their members: create is not rotate, and nothing changes by half (rules 6 and 11)."""

from __future__ import annotations

import pytest

from e4c2 import clients, topics
from e4c2.model import Delivery, Reason
from e4core.errors import Conflict, InvalidInput, NotFound
from tests.c2.devices import Witness
from tests.c2.world import World


@pytest.mark.parametrize("name", ["t", "a/b/c", "x" * 512, "é", " ", "e4", "E4/x", "/e4/x", "$SYS/x"])
def test_topic_is_created_once(world: World, name: str) -> None:
    made = world.do(topics.create, name)
    assert (made.name, made.members, made.id) == (name, 0, world.suite.derive_id(name).hex())
    key = world.topic_key(name)
    with world.refuses(Conflict):
        world.do(topics.create, name)
    assert world.topic_key(name) == key
    assert world.store.run(topics.name_of, made.id) == name


@pytest.mark.parametrize(
    "name", ["", "x" * 513, "é" * 257, "a+", "#", "a\0", "\ud800", "e4/", "e4/x", "e4/" + "0" * 32, "e4/+/report"]
)
def test_bad_name_is_refused(world: World, name: str) -> None:
    with world.refuses(InvalidInput):
        world.do(topics.create, name)


def test_topics_that_do_not_exist_are_not_found(world: World) -> None:
    world.add("a")
    for use in (topics.show, topics.members, topics.rotate, topics.remove):
        with world.refuses(NotFound):
            world.do(use, "nothing")
    for change in (topics.join, topics.leave):
        with world.refuses(NotFound):
            world.do(change, "nothing", ["a"])


def test_change_of_members_is_all_or_nothing(world: World) -> None:
    for name in "abc":
        world.add(name)
    world.topic("t", "a", "b")
    for change in (topics.join, topics.leave):
        with world.refuses(InvalidInput):
            world.do(change, "t", [])
        with world.refuses(NotFound):
            world.do(change, "t", ["a", "nobody"])
    with world.refuses(NotFound):
        world.do(topics.leave, "t", ["a", "c"])
    world.do(clients.new_key, "c", Reason.COMPROMISED)
    with world.refuses(Conflict):
        world.do(topics.join, "t", ["a", "c"])


def test_joining_gives_the_present_key_once_and_disturbs_nobody(world: World) -> None:
    for name in "abc":
        world.add(name)
    world.befriend(*"abc")
    world.topic("t", "a")
    before, key = len(world.wire), world.topic_key("t")
    operation = world.do(topics.join, "t", ["b", "c", "b", "a"])
    world.settle_down()
    assert world.counts(operation) == {Delivery.CONFIRMED: 2}
    assert world.topic_key("t") == key
    assert world.sent_to("a", before) == []
    assert world.kinds_sent_to("b", before) == ["SetTopicKey"]
    assert world.names(topics.members, "t") == ["a", "b", "c"]
    assert world.names(topics.of_client, "b") == ["t"]
    world.clock.now += 3
    assert world.readers("t", "a") == {"b", "c"}


def test_rotation_changes_the_key_and_keeps_the_previous_one_readable(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.add("w", Witness)
    world.befriend(*"abw")
    world.topic("t", "a", "b", "w")
    world.clock.now += 3
    late = a.write("t", world.clock.now, b"late")
    key = world.topic_key("t")
    operation = world.do(topics.rotate, "t")
    world.settle_down()
    assert world.topic_key("t") != key
    silent = {Delivery.SENT: 1} if world.suite.format == 1 else {}
    assert world.counts(operation) == {Delivery.CONFIRMED: 3 - len(silent), **silent}
    assert [each.read("t", late, world.clock.now) for each in (b, world.devices["w"])] == [b"late"] * 2
    assert world.readers("t", "a") == {"b", "w"}


def test_removed_topic_is_forgotten_by_all(world: World) -> None:
    a, w = world.add("a"), world.add("w", Witness)
    world.topic("t", "a", "w")
    world.do(topics.remove, "t")
    world.settle_down()
    assert a.key("t") is w.key("t") is None
    assert world.names(topics.of_client, "a") == []
    world.topic("t")
    assert world.names(topics.members, "t") == []


def test_topic_made_again_before_its_removal_was_sent_has_no_members(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    world.do(topics.remove, "t")
    world.do(topics.create, "t")
    world.settle_down()
    assert a.client.state.topics == {}


def test_pages_follow_each_other(world: World) -> None:
    for name in "bca":
        world.add(name)
        world.topic(name, "b")
    assert [(each.name, each.members) for each in world.do(topics.page, "", 2)] == [("a", 1), ("b", 1)]
    assert [each.name for each in world.do(topics.page, "b", 2)] == ["c"]
    assert world.names(topics.of_client, "b", "a", 1) == ["b"]
    world.do(topics.join, "a", ["a", "c"])
    assert world.names(topics.members, "a", "a", 1) == ["b"]
    assert world.do(topics.show, "a").members == 3
