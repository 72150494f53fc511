# SPDX-License-Identifier: Apache-2.0
"""Clients and their keys: nobody is overwritten, no change of key strands a device, a compromised key is never used again."""

from __future__ import annotations

from typing import Any

import pytest

from e4c2 import c2keys, clients, links, topics
from e4c2.model import Reason
from e4core.errors import Conflict, E4Error, InvalidInput, NotFound, UnknownKey
from e4core.keys import ClientId, Secret
from tests.c2.devices import Ours, Witness
from tests.c2.world import World

ACTIVE = 1
HOUR = 3600
BAD_KEYS = [b"", bytes(32), bytes(31), b"\x01" * 33]


def version(world: World) -> int:
    return world.do(c2keys.active_version)


def fresh(world: World) -> Secret:
    return Secret(world.suite.device.generate())


# ----------------------------------------------------------------------------------------------------------- create


def test_created_client_can_be_seen_and_has_no_topics(world: World) -> None:
    world.add("a")
    seen = world.do(clients.show, "a")
    assert (seen.name, seen.id, seen.status) == ("a", world.suite.derive_id("a").hex(), "active")
    assert (seen.reports, seen.key_change, seen.last_report) == (False, False, None)
    assert world.names(topics.of_client, "a") == []
    assert world.store.run(clients.name_of, seen.id) == "a"


@pytest.mark.parametrize("key", BAD_KEYS, ids=len)
def test_bad_key_is_refused(world: World, key: bytes) -> None:
    with world.refuses(InvalidInput, kind="bad_key"):
        world.do(clients.create, "a", key, version(world))


def test_key_that_is_no_point_is_refused_before_it_can_stop_the_c2_C_2(pk: World) -> None:
    for key in (b"\x02" + bytes(31), b"\xff" * 32, b"\x01" + bytes(31), bytes(31) + b"\x80"):
        with pk.refuses(InvalidInput, kind="bad_key"):
            pk.do(clients.create, "a", key, 1)
    pk.add("a")
    pk.do(clients.new_key, "a", Reason.COMPROMISED)
    with pk.refuses(InvalidInput, kind="bad_key"):
        pk.do(clients.enrol, "a", b"\x02" + bytes(31), 1)


@pytest.mark.parametrize("name", ["", "x" * 256, "\n", "a\0b", "é" * 128, "\ud800"])
def test_bad_name_is_refused(world: World, name: str) -> None:
    with world.refuses(InvalidInput):
        world.do(clients.create, name, world.public(fresh(world)), version(world))


@pytest.mark.parametrize("name", ["x" * 255, "é", "a/b", "' OR 1=1 --", "%", "日本"])
def test_any_other_name_is_a_name(world: World, name: str) -> None:
    world.add(name)
    assert world.do(clients.show, name).name == name


@pytest.mark.parametrize("client_id", [b"short", bytes(17)])
def test_bad_id_is_refused(world: World, client_id: bytes) -> None:
    with world.refuses(InvalidInput):
        world.do(clients.create, "a", world.public(fresh(world)), version(world), client_id)


def test_create_overwrites_neither_name_nor_id(world: World) -> None:
    world.add("a")
    other = world.public(fresh(world))
    with world.refuses(Conflict):
        world.do(clients.create, "a", other, version(world))
    with world.refuses(Conflict):
        world.do(clients.create, "a", other, version(world), bytes(range(16)))
    with world.refuses(Conflict):
        world.do(clients.create, "b", other, version(world), world.suite.derive_id("a"))


@pytest.mark.parametrize("unknown", [2, 99, -1])
def test_version_of_the_c2_key_that_does_not_exist_is_refused(world: World, unknown: int) -> None:
    with world.refuses(E4Error):
        world.do(clients.create, "a", world.public(fresh(world)), unknown)


@pytest.mark.parametrize("unknown", [2, -1])
def test_enrolment_with_a_version_of_the_c2_key_that_does_not_exist_is_refused(world: World, unknown: int) -> None:
    world.add("a")
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    with world.refuses(E4Error):
        world.do(clients.enrol, "a", world.public(fresh(world)), unknown)


def test_names_that_exist_nowhere_are_not_found(world: World) -> None:
    uses: list[Any] = [
        clients.show,
        topics.of_client,
        clients.remove,
        clients.confirm_key,
        clients.cancel_key,
        clients.reset,
    ]
    for use in uses:
        with world.refuses(NotFound):
            world.do(use, "nobody")
    with world.refuses(NotFound):
        world.do(clients.new_key, "nobody", Reason.ROUTINE)
    with world.refuses(NotFound):
        world.do(clients.enrol, "nobody", world.public(fresh(world)), version(world))
    for identity in ("", "zz", "00" * 16, "é"):
        with pytest.raises(NotFound):
            world.store.run(clients.name_of, identity)


def test_name_that_is_no_utf8_is_refused_with_an_error_of_ours(world: World) -> None:
    with world.refuses(E4Error):
        world.do(clients.show, "\ud800")


def test_pages_follow_each_other(world: World) -> None:
    for name in "bdac":
        world.add(name)
    assert [each.name for each in world.do(clients.page, "", 3)] == ["a", "b", "c"]
    assert [each.name for each in world.do(clients.page, "c", 3)] == ["d"]


# ----------------------------------------------------------------------------------------------------------- remove


def test_removal_rekeys_the_topics_of_the_client_C_8(world: World) -> None:
    a, b, c = world.add("a"), world.add("b"), world.add("c", Witness)
    if not world.suite.is_symmetric:
        for name in "abc":
            for peer in set("abc") - {name}:
                world.do(links.send, name, peer)
    world.topic("t", "a", "b", "c")
    assert world.readers("t", "b") == {"a", "c"}
    thief = a.thief()
    world.do(clients.remove, "a")
    world.settle_down()
    world.clock.now += 3
    data = b.write("t", world.clock.now, b"secret")
    assert (thief.read("t", data, world.clock.now), c.read("t", data, world.clock.now)) == (None, b"secret")
    forged = thief.write("t", world.clock.now, b"forged")
    assert (b.read("t", forged, world.clock.now), c.read("t", forged, world.clock.now)) == (None, None)
    with pytest.raises(NotFound):
        world.do(clients.show, "a")
    assert world.names(topics.members, "t") == ["b", "c"]


def test_removed_client_is_sent_nothing_and_heard_no_more(world: World) -> None:
    a = world.add("a")
    world.add("b")
    world.topic("t", "b")
    world.do(topics.join, "t", ["a"])
    world.do(clients.remove, "a")
    before = len(world.wire)
    world.settle_down()
    assert world.sent_to("a", before) == []
    with world.refuses(UnknownKey):
        world.hear(a, a.hello(world.clock.now))


def test_removed_client_may_come_again_as_somebody_new(world: World) -> None:
    world.add("a")
    world.add("b")
    world.topic("t", "a", "b")
    world.do(clients.remove, "a")
    world.privates.pop("a")
    world.add("a")
    assert world.names(topics.of_client, "a") == []
    world.settle_down()
    world.do(topics.join, "t", ["a"])
    world.settle_down()
    assert world.digest_fits("a")


# ------------------------------------------------------------------------------------------------------------ reset


@pytest.mark.parametrize("kind", [Ours, Witness])
def test_reset_gives_back_what_the_device_should_hold_and_nothing_else(
    world: World, kind: type[Ours] | type[Witness]
) -> None:
    a = world.add("a", kind)
    world.add("b")
    if not world.suite.is_symmetric:
        world.do(links.send, "a", "b")
        world.do(links.send, "b", "a")
    for topic in ("t", "u", "v"):
        world.topic(topic, "a", "b")
    world.do(topics.leave, "v", ["a"])
    a.away = True
    world.settle_down()
    a.away = False
    world.do(clients.reset, "a")
    world.settle_down()
    world.clock.now += 3
    assert {topic for topic in ("t", "u", "v") if "a" in world.readers(topic, "b")} == {"t", "u"}
    if isinstance(a, Ours):
        assert world.digest_fits("a")
    else:
        assert bytes(ClientId(world.suite.derive_id("v"))).hex() not in a.client.topic_keys
