# SPDX-License-Identifier: Apache-2.0
"""Clients and topics registered and removed many at a time, as use cases."""

from __future__ import annotations

import os

import pytest

from e4c2 import c2keys, clients, links, topics
from e4c2.enrolment import bulk
from e4c2.enrolment.bulk import Made, New
from e4c2.model import Delivery, Reason
from e4core.errors import Conflict, E4Error, InvalidInput, NotFound
from e4core.keys import Secret
from tests.c2.test_scale import at_most, counted
from tests.c2.world import World


def new(world: World, name: str, key: bytes | None = None, c2_key: int | None = None) -> New:
    made = key or world.public(Secret(world.suite.device.generate()))
    return New(name, Secret(made), world.do(c2keys.active_version) if c2_key is None else c2_key)


def outcome(result: object) -> object:
    return type(result) if isinstance(result, E4Error) else result.is_new if isinstance(result, Made) else None


def test_each_item_has_a_result_of_its_own_in_order(world: World) -> None:
    world.add("taken")
    twice = new(world, "b")
    items = [new(world, "a"), new(world, "taken"), new(world, "\n"), twice, new(world, "b"), new(world, "c", b"short")]
    results = world.do(bulk.create_clients, items)
    assert [outcome(each) for each in results] == [True, Conflict, InvalidInput, True, Conflict, InvalidInput]
    assert world.names(clients.page) == ["a", "b", "taken"]
    assert isinstance(results[3], Made)
    assert results[3].what == world.do(clients.show, "b")


def test_repeating_a_batch_changes_nothing(world: World) -> None:
    items = [new(world, f"d{i}") for i in range(3)]
    first = world.do(bulk.create_clients, items)
    before = world.dump()
    again = world.do(bulk.create_clients, items)
    assert world.dump() == before
    assert [outcome(each) for each in again] == [False] * 3
    assert [each.what for each in again if isinstance(each, Made)] == [
        each.what for each in first if isinstance(each, Made)
    ]


def test_client_of_another_key_or_id_is_never_overwritten(world: World) -> None:
    item = new(world, "a")
    world.do(bulk.create_clients, [item])
    other_id = New("a", item.key, item.c2_key, os.urandom(16))
    taken_id = New("b", item.key, item.c2_key, world.suite.derive_id("a"))
    with_other_key = new(world, "a")
    before = world.dump()
    results = world.do(bulk.create_clients, [other_id, taken_id, with_other_key])
    assert [outcome(each) for each in results] == [Conflict] * 3
    assert world.dump() == before


def test_suspended_client_is_not_taken_for_one_that_is_there(world: World) -> None:
    item = new(world, "a")
    world.do(bulk.create_clients, [item])
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    assert [outcome(each) for each in world.do(bulk.create_clients, [item])] == [Conflict]


def test_clients_with_a_former_c2_key_are_told_the_newest(pk: World) -> None:
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.do(bulk.create_clients, [new(pk, "old", c2_key=1), new(pk, "new", c2_key=2), new(pk, "odd", c2_key=9)])
    assert pk.names(clients.page) == ["new", "old"]
    assert pk.states() == [("old", "c2_key", Delivery.PENDING.value)]


def test_batch_costs_the_same_for_one_and_for_a_hundred(world: World) -> None:
    world.do(c2keys.all_versions)
    one = counted(world, bulk.create_clients, [new(world, "one")])
    assert counted(world, bulk.create_clients, [new(world, f"d{i}") for i in range(100)]) == one <= 15
    first = counted(world, bulk.create_topics, ["one"])
    assert counted(world, bulk.create_topics, [f"t{i}" for i in range(100)]) == first <= at_most(world, 16, 19)


def test_batch_with_a_former_c2_key_costs_the_same_for_one_and_for_a_hundred(pk: World) -> None:
    pk.do(c2keys.new, Reason.ROUTINE)
    one = counted(pk, bulk.create_clients, [new(pk, "one", c2_key=1)])
    assert counted(pk, bulk.create_clients, [new(pk, f"d{i}", c2_key=1) for i in range(100)]) == one <= 25
    assert pk.count(Delivery.PENDING) == 101


def test_topics_are_made_once_each(world: World) -> None:
    world.topic("there")
    results = world.do(bulk.create_topics, ["a", "there", "e4/x", "a", "b"])
    assert [outcome(each) for each in results] == [True, False, InvalidInput, Conflict, True]
    assert world.names(topics.page) == ["a", "b", "there"]
    world.add("d")
    world.topic_key("b")
    world.do(topics.join, "b", ["d"])
    world.settle_down()
    assert world.digest_fits("d")


def test_those_join_that_can(world: World) -> None:
    for name in "abc":
        world.add(name)
    world.topic("t", "a")
    world.do(clients.new_key, "c", Reason.COMPROMISED)
    ids = [*"abc"]
    changed = world.do(bulk.join, "t", [*ids, "none"])
    assert [outcome(each) for each in changed.results] == [True, True, Conflict, NotFound]
    assert world.names(topics.members, "t") == ["a", "b"]
    assert changed.operation
    assert world.counts(changed.operation) == {Delivery.PENDING.value: 1}
    assert world.do(bulk.join, "t", ids[2:]).operation is None
    with pytest.raises(NotFound):
        world.do(bulk.join, "none", ids)


def test_removed_ones_leave_everything_and_each_topic_is_re_keyed_once(world: World) -> None:
    for name in "abcd":
        world.add(name)
    world.topic("t", *"abc")
    world.topic("u", *"bcd")
    world.befriend(*"abcd")
    keys = world.topic_key("t"), world.topic_key("u")
    ids = [*"ab"]
    changed = world.do(bulk.remove_clients, [ids[0], "none", ids[1]])
    assert [outcome(each) for each in changed.results] == [True, NotFound, True]
    assert world.names(clients.page) == ["c", "d"]
    assert keys[0] != world.topic_key("t")
    assert keys[1] != world.topic_key("u")
    world.settle_down()
    assert world.digest_fits("c")
    assert world.digest_fits("d")
    if not world.suite.is_symmetric:
        assert world.names(links.page, "c") == ["d"]
    assert world.do(bulk.remove_clients, ids).operation is None


def test_removal_costs_little_more_for_twenty_than_for_one(world: World) -> None:
    for i in range(22):
        world.add(f"d{i}")
    world.topic("t", *(f"d{i}" for i in range(22)))
    world.befriend(*(f"d{i}" for i in range(5)))
    one = counted(world, bulk.remove_clients, ["d0"])
    assert counted(world, bulk.remove_clients, [f"d{i}" for i in range(1, 21)]) <= one + 2
