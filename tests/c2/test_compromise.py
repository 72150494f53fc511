# SPDX-License-Identifier: Apache-2.0
"""A compromised key is never used again, and whose it was is cut off until it is enrolled anew (rule 4)."""

from __future__ import annotations

from e4c2 import c2keys, clients, links, topics
from e4c2.model import Reason, Status
from e4core.errors import AuthenticationFailed, Conflict, Denied, InvalidInput
from e4core.keys import Secret
from tests.c2.devices import Ours, Witness
from tests.c2.world import World

ACTIVE = 1
HOUR = 3600
BAD_KEYS = [b"", bytes(32), bytes(31), b"\x01" * 33]


def version(world: World) -> int:
    return world.do(c2keys.active_version)


def fresh(world: World) -> Secret:
    return Secret(world.suite.device.generate())


def enrol(world: World, name: str) -> None:
    """The operator gives a suspended device a key made anew; the device starts from nothing."""
    private = fresh(world)
    world.privates[name] = [private]
    world.do(clients.enrol, name, world.public(private), version(world))
    old = world.devices[name]
    world.devices[name] = Ours(world.suite, name, old.id, private, world.c2_public(version(world)))


def test_nothing_is_sealed_under_a_compromised_key(world: World) -> None:
    a = world.add("a")
    world.add("b")
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    before = len(world.wire)
    world.do(topics.rotate, "t")
    world.do(topics.leave, "t", ["b"])
    world.settle_down()
    world.clock.now += HOUR
    world.settle_down()
    enrol(world, "a")
    world.settle_down()
    assert world.sent_to("a", before, [a.private]) == []
    assert world.sent_to("a", before)


def test_compromised_device_is_suspended_and_cut_off(world: World) -> None:
    a, b = world.add("a"), world.add("b")
    world.add("w", Witness)
    if not world.suite.is_symmetric:
        for holder, peer in (("b", "a"), ("w", "a"), ("w", "b"), ("a", "b")):
            world.do(links.send, holder, peer)
    world.topic("t", "a", "b", "w")
    thief = a.thief()
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    world.settle_down()
    world.clock.now += 3
    data = b.write("t", world.clock.now, b"secret")
    assert thief.read("t", data, world.clock.now) is None
    assert world.devices["w"].read("t", data, world.clock.now) == b"secret"
    forged = thief.write("t", world.clock.now, b"forged")
    assert [d.read("t", forged, world.clock.now) for d in (b, world.devices["w"])] == [None, None]
    assert world.do(clients.show, "a").status is Status.SUSPENDED
    with world.refuses(Denied):
        world.hear(a, a.hello(world.clock.now))
    with world.refuses(Conflict):
        world.do(clients.new_key, "a", Reason.ROUTINE)
    with world.refuses(Conflict):
        world.do(clients.reset, "a")
    with world.refuses(Conflict):
        world.do(topics.join, "t", ["a"])


def test_compromise_during_a_change_forgets_the_new_key_too(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.carry()
    world.obey()
    new = a.client.state.private
    world.reports.clear()
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    before = len(world.wire)
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.wire[before:] == []
    assert not world.do(clients.show, "a").key_change
    with world.refuses(Denied, AuthenticationFailed):
        world.hear(a, a.hello(world.clock.now))
    with world.refuses(Conflict):
        # it was sent under the compromised key, so whoever has that has this
        world.do(clients.enrol, "a", world.public(new), version(world))


def test_enrolled_device_gets_everything(world: World) -> None:
    for name in "abc":
        world.add(name)
    if not world.suite.is_symmetric:
        for holder, peer in (("a", "b"), ("b", "a"), ("c", "a")):
            world.do(links.send, holder, peer)
    world.topic("t", "a", "b", "c")
    world.topic("u", "a", "b")
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    world.settle_down()
    enrol(world, "a")
    world.settle_down()
    world.clock.now += 3
    assert all(world.digest_fits(name) for name in "abc")
    assert world.readers("t", "a") == {"b", "c"}
    assert world.readers("u", "b") == {"a"}


def test_compromised_key_cannot_be_enrolled_again(world: World) -> None:
    a = world.add("a")
    world.do(clients.new_key, "a", Reason.COMPROMISED)
    with world.refuses(Conflict):
        world.do(clients.enrol, "a", world.public(a.private), version(world))
    for key in BAD_KEYS:
        with world.refuses(InvalidInput):
            world.do(clients.enrol, "a", key, version(world))
    enrol(world, "a")
    with world.refuses(Conflict):
        world.do(clients.enrol, "a", world.public(fresh(world)), version(world))
