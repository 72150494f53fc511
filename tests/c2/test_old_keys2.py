# SPDX-License-Identifier: Apache-2.0
"""Format 2: every device hears when a former key is over, and an eviction is never put off."""

from __future__ import annotations

import pytest

from e4c2 import clients, topics
from e4c2.model import Reason
from e4core.command2 import SetPubKey
from e4core.keys import Secret
from e4core.message import GRACE_S
from tests.c2.test_sealing2 import topic_keys
from tests.c2.world import World

pytestmark = pytest.mark.format(2)


def test_device_gets_the_end_of_the_former_key_as_a_time(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.befriend("a", "b")
    world.topic("t", "a", "b")
    world.clock.now += 100
    late, rotated, before = a.write("t", world.clock.now, b"late"), int(world.clock.now), len(world.wire)
    b.away = True
    world.do(topics.rotate, "t")
    world.settle_down()
    world.clock.now = rotated + GRACE_S - 60.0
    b.away = False
    world.greet("b")
    world.settle_down()
    assert {each.older_until for each in topic_keys(world, "b", before)} == {rotated + GRACE_S}
    assert b.read("t", late, world.clock.now) == b"late"
    world.clock.now = rotated + GRACE_S + 1.0
    b.client.erase_expired(world.clock.now)
    assert b.read("t", a.write("t", world.clock.now, b"new"), world.clock.now) == b"new"
    assert b.read("t", late, world.clock.now) is None


def test_eviction_ends_older_keys_at_once_also_for_who_hears_of_it_with_a_later_rotation(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.befriend("a", "b")
    world.topic("t", "a", "b")
    thief, before = a.thief(), len(world.wire)
    b.away = True
    world.do(topics.leave, "t", ["a"])
    world.settle_down()
    world.do(topics.rotate, "t")
    world.settle_down()
    b.away = False
    world.greet("b")
    world.settle_down()
    assert {each.older_until for each in topic_keys(world, "b", before)} == {0}
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


def test_eviction_is_not_forgotten_for_a_device_that_was_never_heard(world: World) -> None:
    """All its reports are lost; the broker has taken the command that evicts, which never arrives."""
    a, b = world.add("a"), world.add("b")
    world.do(topics.create, "t")
    world.do(topics.join, "t", ["a", "b"])
    world.carry()
    world.obey()
    world.reports.clear()
    thief, before = a.thief(), len(world.wire)
    b.away = True
    world.do(topics.leave, "t", ["a"])
    world.carry()
    b.away = False
    world.do(topics.rotate, "t")
    world.settle_down()
    assert {each.older_until for each in topic_keys(world, "b", before)} == {0}
    assert b.read("t", thief.write("t", world.clock.now), world.clock.now) is None


def test_holders_get_the_signature_key_alone_and_the_former_one_for_a_while(pk2: World) -> None:
    for name in "ab":
        pk2.add(name)
    pk2.befriend("a", "b")
    before, made = len(pk2.wire), int(pk2.clock.now)
    pk2.do(clients.new_key, "b", Reason.ROUTINE)
    pk2.settle_down()
    (told,) = [each for _, each in pk2.sent_to("a", before) if isinstance(each, SetPubKey)]
    assert pk2.suite.signature is not None
    assert len(told.public) == pk2.suite.signature.public_len < pk2.suite.device.public_len
    assert told.old_until >= made + GRACE_S


def test_compromised_signature_key_is_believed_no_more(pk2: World) -> None:
    a, b = pk2.add("a"), pk2.add("b")
    pk2.befriend("a", "b")
    pk2.topic("t", "a", "b")
    thief = b.thief()
    a.away = True
    pk2.do(clients.new_key, "b", Reason.COMPROMISED)
    pk2.settle_down()
    fresh = type(b)(pk2.suite, "b", b.id, new := Secret(pk2.suite.device.generate()), pk2.c2_public(1))
    pk2.devices["b"] = fresh
    pk2.privates["b"].append(new)
    before = len(pk2.wire)
    pk2.do(clients.enrol, "b", pk2.public(new), 1)
    pk2.settle_down()
    a.away = False
    pk2.greet("a", "b")
    pk2.settle_down()
    assert {each.old_until for _, each in pk2.sent_to("a", before) if isinstance(each, SetPubKey)} == {0}
    assert a.read("t", thief.write("t", pk2.clock.now), pk2.clock.now) is None
    assert a.read("t", fresh.write("t", pk2.clock.now, b"fresh"), pk2.clock.now) == b"fresh"
