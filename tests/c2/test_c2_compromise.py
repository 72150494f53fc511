# SPDX-License-Identifier: Apache-2.0
"""A compromised key of the C2 is never used again, opens nothing any more, and all who may believe it are cut off (rule 4)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest

from e4c2 import c2keys, clients, commands, links, topics
from e4c2.model import Delivery, Reason, c2_key
from e4c2.rows import find_all, reveal
from e4core import report
from e4core.errors import AuthenticationFailed, Conflict, Denied, E4Error, NotFound
from e4core.keys import Secret, TopicKey
from e4core.report import Hello
from e4core.suite import Channel
from tests.c2.conftest import Worlds
from tests.c2.devices import Device, Ours, Witness
from tests.c2.test_c2keys import reaches
from tests.c2.test_compromise import HOUR, enrol, fresh
from tests.c2.test_scale import counted
from tests.c2.world import Sent, World


@dataclass(frozen=True)
class Thief:
    """Somebody who has the C2's private key of one moment, and hears everything."""

    world: World
    private: Secret

    @classmethod
    def of(cls, world: World) -> Thief:
        return cls(world, privates(world)[-1])

    def channel(self, public: bytes) -> Channel:
        suite = self.world.suite
        return suite.control.at_c2(suite.c2.load(self.private), public)

    def opens(self, *sent: Sent) -> bool:
        """Whether any of this opens, towards any device key that there ever was."""
        publics = [self.world.public(key) for keys in self.world.privates.values() for key in keys]
        return any(self._opens(each, self.channel(public)) for each in sent for public in publics)

    def hello(self, device: Device) -> bytes:
        """A report as of ``device``, of whom all know the public key."""
        public = self.world.public(device.private)
        return report.seal(
            self.world.suite, self.channel(public), device.id, Hello(bytes(16), os.urandom(16)), os.urandom(16)
        )

    def _opens(self, sent: Sent, channel: Channel) -> bool:
        try:
            channel.command_key.open(b"", sent.payload[8:], sent.payload[:8])
        except AuthenticationFailed:
            return False
        return True


def privates(world: World) -> list[Secret]:
    def read(db: Any, realm: Any) -> list[Secret]:
        rows = sorted(find_all(db, realm, c2_key), key=lambda row: int(row["version"]))
        return [reveal(realm, c2_key, row, "private") for row in rows]

    return world.do(read)


def states(world: World) -> list[str]:
    return [key.state for key in world.do(c2keys.all_versions)]


def compromised(world: World) -> commands.Operation:
    return world.do(c2keys.new, Reason.COMPROMISED)


def friends(pk: World) -> None:
    """Two devices of ours and one of e4go, who talk, and know each other."""
    for name in "ab":
        pk.add(name)
    pk.add("w", Witness)
    pk.befriend("a", "b", "w")
    pk.topic("t", "a", "b", "w")
    pk.topic("u", "a")


@pytest.fixture
def fleet(worlds: Worlds) -> World:
    return worlds.peopled("pk", friends)


def test_nothing_is_sealed_under_a_compromised_key(fleet: World) -> None:
    thief = Thief.of(fleet)
    assert thief.opens(*fleet.wire)
    fleet.do(topics.rotate, "t")
    compromised(fleet)
    before = len(fleet.wire)
    fleet.do(topics.rotate, "t")
    fleet.do(topics.leave, "t", ["b"])
    fleet.do(links.remove, "b", "a")
    fleet.settle_down()
    fleet.clock.now += HOUR
    fleet.greet()
    fleet.settle_down()
    assert fleet.wire[before:] == []
    for name in "aw":
        enrol(fleet, name)
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    assert fleet.sent_to("a", before)
    assert fleet.sent_to("w", before)
    assert not thief.opens(*fleet.wire[before:])


def test_its_private_key_is_gone_and_cannot_be_used_by_mistake(fleet: World) -> None:
    old = privates(fleet)
    compromised(fleet)
    assert states(fleet) == ["compromised", "active"]
    gone, new = privates(fleet)
    assert (gone, new in old) == (b"", False)
    assert list(fleet.do(c2keys.versions).privates) == [2]


def test_every_client_is_suspended_and_says_nothing_that_is_believed(fleet: World) -> None:
    reports = [(fleet.devices[name], fleet.devices[name].client.hello()) for name in "ab"]  # type: ignore[attr-defined]
    compromised(fleet)
    assert {each.status for each in fleet.do(clients.page)} == {"suspended"}
    for device, data in reports:
        with fleet.refuses(Denied):
            fleet.hear(device, data)
    for use in (clients.reset, clients.confirm_key, clients.confirm_c2_key):
        with fleet.refuses(Conflict):
            fleet.do(use, "a")


def test_what_the_old_key_forges_is_not_believed(fleet: World) -> None:
    thief, a = Thief.of(fleet), fleet.devices["a"]
    fleet.hear(a, thief.hello(a))  # so this would be believed
    compromised(fleet)
    with fleet.refuses(Denied):
        fleet.hear(a, thief.hello(a))
    enrol(fleet, "a")
    with fleet.refuses(AuthenticationFailed):
        fleet.hear(fleet.devices["a"], thief.hello(fleet.devices["a"]))


def test_every_topic_is_re_keyed_also_one_without_members(fleet: World) -> None:
    fleet.topic("empty")
    before = {name: fleet.topic_key(name) for name in ("t", "u", "empty")}
    compromised(fleet)
    for name, key in before.items():
        assert fleet.topic_key(name) != key


def test_devices_that_are_enrolled_anew_have_everything_again_and_others_nothing(fleet: World) -> None:
    b = fleet.devices["b"]
    compromised(fleet)
    for name in "aw":
        enrol(fleet, name)
    fleet.settle_down()
    fleet.clock.now += 3
    assert fleet.digest_fits("a")
    assert fleet.digest_fits("w")
    assert reaches(fleet, "a")
    assert fleet.readers("t", "a") == {"w"}
    data = fleet.devices["a"].write("t", fleet.clock.now, b"secret")
    assert b.read("t", data, fleet.clock.now) is None
    forged = b.write("t", fleet.clock.now, b"forged")
    assert fleet.devices["w"].read("t", forged, fleet.clock.now) is None
    enrol(fleet, "b")
    fleet.settle_down()
    fleet.clock.now += 3
    assert fleet.readers("t", "a") == {"b", "w"}


def test_a_change_that_is_under_way_is_given_up_too(fleet: World) -> None:
    """Its key was announced under the compromised one, so that some may know another one instead."""
    fleet.do(c2keys.new, Reason.ROUTINE)
    fleet.settle_down()
    thief = Thief.of(fleet)
    compromised(fleet)
    assert states(fleet) == ["compromised", "compromised", "active"]
    assert {each.status for each in fleet.do(clients.page)} == {"suspended"}
    with fleet.refuses(NotFound):
        fleet.do(c2keys.finish, force=True)
    before = len(fleet.wire)
    enrol(fleet, "a")
    fleet.settle_down()
    assert fleet.sent_to("a", before)
    assert not thief.opens(*fleet.wire[before:])


def test_retired_versions_are_given_up_with_the_active_one(fleet: World) -> None:
    fleet.devices["a"].away = True
    fleet.do(c2keys.new, Reason.ROUTINE)
    fleet.settle_down()
    fleet.do(c2keys.finish, force=True)
    compromised(fleet)
    assert states(fleet) == ["compromised", "compromised", "active"]
    compromised(fleet)
    assert states(fleet) == ["compromised", "compromised", "compromised", "active"]
    assert list(fleet.do(c2keys.versions).privates) == [4]


def test_a_routine_change_is_possible_afterwards(fleet: World) -> None:
    compromised(fleet)
    enrol(fleet, "a")
    fleet.settle_down()
    fleet.do(c2keys.new, Reason.ROUTINE)
    fleet.settle_down()
    assert fleet.do(c2keys.finish).version == 3
    assert states(fleet) == ["compromised", "retired", "active"]
    assert reaches(fleet, "a")


def test_no_device_is_given_a_key_of_the_past(fleet: World) -> None:
    compromised(fleet)
    with fleet.refuses(Conflict):
        fleet.do(clients.enrol, "a", fleet.public(fresh(fleet)), 1)
    with fleet.refuses(Conflict):
        fleet.do(clients.create, "new", fleet.public(fresh(fleet)), 1)
    fleet.do(clients.create, "new", fleet.public(fresh(fleet)), 2)


def test_device_keys_of_before_cannot_be_enrolled_again(fleet: World) -> None:
    """One that was on its way can be read by whoever has the C2's key; and of the others nobody knows which were."""
    a = fleet.devices["a"]
    fleet.do(clients.new_key, "a", Reason.ROUTINE)
    fleet.carry()
    fleet.obey()
    fleet.reports.clear()
    on_its_way = a.client.state.private  # type: ignore[attr-defined]
    assert on_its_way != a.private
    compromised(fleet)
    for key in (a.private, on_its_way):
        with fleet.refuses(Conflict):
            fleet.do(clients.enrol, "a", fleet.public(key), 2)


def test_a_client_that_was_suspended_before_is_taken_back_under_the_new_key(fleet: World) -> None:
    fleet.do(clients.new_key, "a", Reason.COMPROMISED)
    compromised(fleet)
    enrol(fleet, "a")
    fleet.settle_down()
    assert reaches(fleet, "a")
    assert fleet.do(clients.show, "a").c2_key == 2


@pytest.mark.parametrize("lost", [False, True])
def test_what_was_on_its_way_is_not_sent_again(fleet: World, lost: bool) -> None:
    fleet.do(topics.rotate, "t")
    sealed = fleet.claim()
    assert sealed
    compromised(fleet)
    fleet.settle([] if lost else sealed, sealed if lost else [])
    fleet.crash()
    assert fleet.count(Delivery.PENDING, Delivery.SENDING, Delivery.SENT) == 0
    assert fleet.claim() == []


def test_topic_keys_that_were_sent_under_it_open_nothing_new(fleet: World) -> None:
    stolen = TopicKey(fleet.topic_key("t"))
    compromised(fleet)
    for name in "ab":
        enrol(fleet, name)
    fleet.settle_down()
    fleet.clock.now += 3
    held = fleet.devices["a"].client.state.topics[fleet.suite.derive_id("t")]  # type: ignore[attr-defined]
    assert held.key != stolen
    assert held.previous is None


def test_it_costs_the_same_for_one_client_and_for_forty(pk: World) -> None:
    pk.add("a")
    pk.topic("t", "a")
    one = counted(pk, c2keys.new, Reason.COMPROMISED)
    for i in range(40):
        pk.add(f"d{i}")
        pk.topic(f"t{i}")
    assert counted(pk, c2keys.new, Reason.COMPROMISED) == one


def test_a_refused_change_changes_nothing(fleet: World) -> None:
    """One row that was tampered with, and none of it is done."""
    fleet.sql("UPDATE client SET status = 'suspended' WHERE name = 'a'")
    fleet.sql("UPDATE client SET name = 'x' WHERE name = 'b'")
    with fleet.refuses(E4Error):
        compromised(fleet)
    assert states(fleet) == ["active"]


def test_our_devices_of_before_obey_nothing_that_is_new(fleet: World) -> None:
    a = fleet.devices["a"]
    assert isinstance(a, Ours)
    compromised(fleet)
    handled = len(a.handled)
    enrol(fleet, "a")
    before = len(fleet.wire)
    fleet.settle_down()
    for sent in fleet.wire[before:]:
        assert a.take(sent.payload, fleet.clock.now) == ()
    assert len(a.handled) == handled
