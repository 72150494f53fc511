# SPDX-License-Identifier: Apache-2.0
"""Format 2: keys of devices and of the C2 change, and whatever is lost on the way, nobody is out of reach (rule 4)."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from e4c2 import c2keys, clients, topics
from e4c2.model import Reason, client
from e4c2.rows import reveal
from e4core import report
from e4core.command2 import NewIDKey, SetIDKey
from e4core.errors import AuthenticationFailed, Conflict, InvalidInput, Replayed, UnsupportedSuite
from e4core.keys import Secret
from e4core.report import Offer
from tests.c2.conftest import Worlds
from tests.c2.devices import Ours
from tests.c2.world import World, ours

pytestmark = pytest.mark.format(2)


def friends(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.befriend("a", "b")
    world.topic("t", "a", "b")


@pytest.fixture
def fleet(suite_name: str, worlds: Worlds) -> World:
    return worlds.peopled(suite_name, friends)


def held(world: World, name: str, column: str = "key") -> bytes | None:
    row = world.do(clients.require, name)
    return None if row[column] is None else bytes(world.do(lambda _, realm: reveal(realm, client, row, column)))


def is_reached(world: World, name: str) -> bool:
    """Under its newest key alone, and it has dropped all others."""
    state = ours(world, name).client.state
    world.do(topics.rotate, "t")
    world.settle_down()
    same = world.public(state.private) == held(world, name)
    return (
        same and not state.pending and not state.former_c2_public and ours(world, name).key("t") == world.topic_key("t")
    )


def change(world: World, name: str) -> None:
    world.do(clients.new_key, name, Reason.ROUTINE)


def test_new_key_is_taken_into_use_and_the_old_one_dropped_on_both_sides(fleet: World) -> None:
    old = held(fleet, "a")
    change(fleet, "a")
    assert fleet.do(clients.show, "a").key_change
    fleet.settle_down()
    assert not fleet.do(clients.show, "a").key_change
    assert held(fleet, "a") != old
    assert (held(fleet, "a", "pending_key"), held(fleet, "a", "pending_private")) == (None, None)
    assert is_reached(fleet, "a")
    assert fleet.readers("t", "a") == {"b"}
    assert fleet.states() == []


def test_device_makes_its_pairs_and_no_private_key_leaves_it(pk2: World) -> None:
    pk2.add("a")
    change(pk2, "a")
    asked = held(pk2, "a", "pending_private")
    assert asked is not None and len(asked) == report.NONCE_LEN
    pk2.settle_down()
    assert [each.nonce for _, each in pk2.sent_to("a") if isinstance(each, NewIDKey)] == [asked]
    private = bytes(ours(pk2, "a").client.state.private)
    everything = b"".join(repr(row).encode() for rows in pk2.dump().values() for row in rows)
    assert private.hex().encode() not in everything
    assert not [each for _, each in pk2.sent_to("a") if isinstance(each, SetIDKey)]


@pytest.mark.parametrize("lost", ["command", "reports", "switch", "last ack"])
def test_change_survives_the_loss_of_any_step(fleet: World, lost: str) -> None:
    a = ours(fleet, "a")
    change(fleet, "a")
    fleet.carry()
    if lost == "command":
        a.inbox.clear()
    fleet.obey()
    if lost == "reports":
        fleet.reports.clear()
    fleet.receive()
    fleet.carry()
    if lost == "switch":
        a.inbox.clear()
    fleet.obey()
    if lost == "last ack":
        fleet.reports.clear()
    fleet.settle_down()
    fleet.clock.now += 30
    fleet.greet("a", "b")
    fleet.settle_down()
    assert not fleet.do(clients.show, "a").key_change
    assert is_reached(fleet, "a")


@pytest.mark.parametrize("steps", range(6))
def test_change_survives_a_crash_of_the_c2_between_any_two_steps(fleet: World, steps: int) -> None:
    change(fleet, "a")
    work = [fleet.carry, fleet.obey, fleet.receive] * 2
    for step in work[:steps]:
        step()
    fleet.crash()
    fleet.settle_down()
    fleet.clock.now += 30
    fleet.greet("a", "b")
    fleet.settle_down()
    assert not fleet.do(clients.show, "a").key_change
    assert is_reached(fleet, "a")


def test_device_that_lost_its_new_pair_is_still_reached(pk2: World) -> None:
    """It was restored from a copy that is older than its offer."""
    a = pk2.add("a")
    pk2.topic("t", "a")
    copy = a.state
    change(pk2, "a")
    pk2.carry()
    pk2.obey()
    pk2.receive()
    a.start(replace(copy, last=a.state.last))
    pk2.do(topics.rotate, "t")
    pk2.settle_down()
    assert a.key("t") == pk2.topic_key("t")
    assert pk2.do(clients.show, "a").key_change


def test_everything_is_sealed_under_both_keys_from_the_offer_to_the_switch(pk2: World) -> None:
    pk2.add("a")
    change(pk2, "a")
    assert [len(each.payloads) for each in pk2.claim()] == [1]
    pk2.crash()
    pk2.carry()
    pk2.obey()
    pk2.receive()
    assert [len(each.payloads) for each in pk2.claim()] == [2]
    pk2.crash()
    pk2.settle_down()
    pk2.do(clients.reset, "a")
    assert [len(each.payloads) for each in pk2.claim()] == [1]


def offer(world: World, device: Ours, nonce: bytes) -> Offer:
    private = world.suite.device.load(Secret(world.suite.device.generate()))
    public = world.suite.device.public(private)
    assert world.suite.signature is not None
    signature = world.suite.signature.signer(private).sign(report.offer_message(device.id, nonce, public))
    return Offer(device.digest(), nonce, public, signature, device.client.state.last)


def say(world: World, device: Ours, content: report.Report) -> None:
    world.hear(device, report.seal(device.suite, device.channel(), device.id, content, os.urandom(16)))


def test_offer_that_nobody_asked_for_is_refused(pk2: World) -> None:
    a = pk2.add("a")
    with pk2.refuses(Replayed):
        say(pk2, a, offer(pk2, a, os.urandom(16)))
    change(pk2, "a")
    with pk2.refuses(Replayed):
        say(pk2, a, offer(pk2, a, os.urandom(16)))


def test_offer_must_be_signed_by_the_new_key_over_all_of_it(pk2: World) -> None:
    a = pk2.add("a")
    change(pk2, "a")
    nonce = held(pk2, "a", "pending_private") or b""
    good, other = offer(pk2, a, nonce), offer(pk2, a, nonce)
    for bad in (
        replace(good, signature=other.signature),
        replace(good, public=other.public),
        replace(good, public=good.public[:32] + other.public[32:]),
        replace(good, public=other.public[:32] + good.public[32:]),
    ):
        with pk2.refuses(AuthenticationFailed):
            say(pk2, a, bad)
    with pk2.refuses(InvalidInput):
        say(pk2, a, replace(good, public=good.public[:32] + bytes(32)))
    say(pk2, a, good)
    assert held(pk2, "a", "pending_key") == good.public


def test_first_offer_counts_as_it_may_be_in_use(pk2: World) -> None:
    a = pk2.add("a")
    change(pk2, "a")
    nonce = held(pk2, "a", "pending_private") or b""
    first = offer(pk2, a, nonce)
    say(pk2, a, first)
    before = pk2.dump()
    say(pk2, a, first)
    assert pk2.dump() == before
    with pk2.refuses(Conflict):
        say(pk2, a, offer(pk2, a, nonce))


def test_offer_in_a_symmetric_suite_is_no_report(sk2: World) -> None:
    a = sk2.add("a")
    with sk2.refuses(InvalidInput, UnsupportedSuite):
        say(sk2, a, Offer(a.digest(), bytes(16), bytes(64), bytes(64)))


def test_no_operator_confirms_for_a_device(fleet: World) -> None:
    change(fleet, "a")
    fleet.carry()
    with fleet.refuses(UnsupportedSuite):
        fleet.do(clients.confirm_key, "a")
    if not fleet.suite.is_symmetric:
        fleet.do(c2keys.new, Reason.ROUTINE)
        with fleet.refuses(UnsupportedSuite):
            fleet.do(clients.confirm_c2_key, "a")


def test_change_is_cancelled_only_while_the_device_cannot_have_switched(fleet: World) -> None:
    change(fleet, "a")
    fleet.do(clients.cancel_key, "a")
    assert not fleet.do(clients.show, "a").key_change
    change(fleet, "a")
    fleet.carry()
    fleet.obey()
    fleet.receive()
    fleet.clock.now += 1e7  # never by time
    with fleet.refuses(Conflict):
        fleet.do(clients.cancel_key, "a")
    fleet.settle_down()
    assert is_reached(fleet, "a")


def test_wish_for_a_key_that_no_offer_answers_can_be_cancelled(pk2: World) -> None:
    pk2.add("a")
    pk2.topic("t", "a")
    change(pk2, "a")
    pk2.carry()
    pk2.do(clients.cancel_key, "a")
    pk2.settle_down()  # the offer comes, and nobody wants it
    assert not pk2.do(clients.show, "a").key_change
    pk2.do(topics.rotate, "t")
    pk2.settle_down()
    assert pk2.digest_fits("a")
    change(pk2, "a")
    pk2.settle_down()
    assert is_reached(pk2, "a")


def test_new_key_of_the_c2_is_confirmed_by_a_report_under_it_and_the_old_one_dropped(pk2: World) -> None:
    for name in "ab":
        pk2.add(name)
    pk2.topic("t", "a", "b")
    ours(pk2, "b").away = True
    pk2.do(c2keys.new, Reason.ROUTINE)
    pk2.settle_down()
    assert [each.name for each in pk2.do(clients.laggards)] == ["b"]
    ours(pk2, "b").away = False
    pk2.greet("b")
    pk2.settle_down()
    assert pk2.do(clients.laggards) == []
    pk2.do(c2keys.finish)
    assert is_reached(pk2, "a")
    assert is_reached(pk2, "b")
    assert pk2.states() == []


@pytest.mark.parametrize("steps", range(6))
def test_change_of_the_c2s_key_survives_a_crash_between_any_two_steps(pk2: World, steps: int) -> None:
    pk2.add("a")
    pk2.topic("t", "a")
    pk2.do(c2keys.new, Reason.ROUTINE)
    work = [pk2.carry, pk2.obey, pk2.receive] * 2
    for step in work[:steps]:
        step()
    if steps % 3 == 2:
        pk2.reports.clear()
    pk2.crash()
    pk2.settle_down()
    pk2.clock.now += 30
    pk2.greet("a")
    pk2.settle_down()
    assert pk2.do(clients.laggards) == []
    assert is_reached(pk2, "a")


def test_both_keys_change_at_once(pk2: World) -> None:
    pk2.add("a")
    pk2.topic("t", "a")
    change(pk2, "a")
    pk2.do(c2keys.new, Reason.ROUTINE)
    pk2.settle_down()
    assert pk2.do(clients.laggards) == []
    assert not pk2.do(clients.show, "a").key_change
    assert is_reached(pk2, "a")
