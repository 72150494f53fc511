# SPDX-License-Identifier: Apache-2.0
"""Links: exactly the linked ones accept a sender."""

from __future__ import annotations

import pytest

from e4c2 import clients, links
from e4c2.model import Reason
from e4core.command import RemovePubKey, ResetPubKeys, SetPubKey
from e4core.errors import InvalidInput, NotFound, UnsupportedSuite
from tests.c2.conftest import Worlds
from tests.c2.devices import Witness
from tests.c2.world import World


def four(pk: World) -> None:
    for name in "abc":
        pk.add(name)
    pk.add("w", Witness)
    pk.topic("t", *"abcw")


@pytest.fixture
def fleet(worlds: Worlds) -> World:
    return worlds.peopled("pk", four)


def believers(world: World, sender: str) -> set[str]:
    world.settle_down()
    world.clock.now += 3
    return world.readers("t", sender)


def held(world: World, holder: str) -> list[str]:
    return world.names(links.page, holder)


def test_only_those_who_hold_the_public_key_accept_a_sender(fleet: World) -> None:
    assert believers(fleet, "a") == set()
    fleet.do(links.send, "b", "a")
    fleet.do(links.send, "w", "a")
    assert believers(fleet, "a") == {"b", "w"}
    assert believers(fleet, "b") == set()
    fleet.do(links.remove, "b", "a")
    assert believers(fleet, "a") == {"w"}
    assert all(fleet.digest_fits(name) for name in "abc")


def test_link_sent_again_is_one_link_and_one_more_command(fleet: World) -> None:
    fleet.do(links.send, "b", "a")
    fleet.settle_down()
    before = len(fleet.wire)
    fleet.do(links.send, "b", "a")
    fleet.settle_down()
    assert [type(each) for _, each in fleet.sent_to("b", before)] == [SetPubKey]
    assert held(fleet, "b") == ["a"]


def test_reset_makes_the_holder_forget_all(fleet: World) -> None:
    for peer in ("a", "c"):
        fleet.do(links.send, "b", peer)
    fleet.settle_down()
    before = len(fleet.wire)
    fleet.do(links.reset, "b")
    fleet.do(links.send, "b", "c")
    fleet.settle_down()
    assert [type(each) for _, each in fleet.sent_to("b", before)] == [ResetPubKeys, SetPubKey]
    assert (believers(fleet, "a"), believers(fleet, "c")) == (set(), {"b"})
    assert held(fleet, "b") == ["c"]
    assert fleet.digest_fits("b")


def test_link_withdrawn_before_it_was_sent_is_never_sent(fleet: World) -> None:
    fleet.do(links.send, "b", "a")
    fleet.do(links.remove, "b", "a")
    before = len(fleet.wire)
    fleet.settle_down()
    assert [type(each) for _, each in fleet.sent_to("b", before)] == [RemovePubKey]
    assert fleet.states("b") == []


def test_suspended_peer_is_believed_by_nobody_and_cannot_be_linked_into_belief(fleet: World) -> None:
    fleet.do(links.send, "b", "a")
    fleet.settle_down()
    fleet.do(clients.new_key, "a", Reason.COMPROMISED)
    fleet.do(links.send, "c", "a")
    fleet.settle_down()
    for name in "bc":
        assert fleet.devices["a"].id not in fleet.devices[name].client.state.peers  # type: ignore[attr-defined]
        assert fleet.digest_fits(name)


def test_removed_peer_is_held_by_nobody(fleet: World) -> None:
    fleet.do(links.send, "b", "a")
    fleet.do(links.send, "a", "b")
    fleet.settle_down()
    fleet.do(clients.remove, "a")
    fleet.settle_down()
    assert held(fleet, "b") == []
    assert fleet.digest_fits("b")


def test_bad_requests_change_nothing(fleet: World) -> None:
    for change in (links.send, links.remove):
        for pair in (("a", "nobody"), ("nobody", "a")):
            with fleet.refuses(NotFound):
                fleet.do(change, *pair)
    with fleet.refuses(InvalidInput):
        fleet.do(links.send, "a", "a")
    with fleet.refuses(NotFound):
        fleet.do(links.remove, "a", "b")
    for use in (links.reset, links.page):
        with fleet.refuses(NotFound):
            fleet.do(use, "nobody")


def test_symmetric_suites_have_no_links(sk: World) -> None:
    for name in "ab":
        sk.add(name)
    for change in (links.send, links.remove):
        with sk.refuses(UnsupportedSuite):
            sk.do(change, "a", "b")
    with sk.refuses(UnsupportedSuite):
        sk.do(links.reset, "a")


def test_pages_follow_each_other(fleet: World) -> None:
    for peer in ("w", "b", "c"):
        fleet.do(links.send, "a", peer)
    assert fleet.names(links.page, "a", "", 2) == ["b", "c"]
    assert fleet.names(links.page, "a", "c", 2) == ["w"]
