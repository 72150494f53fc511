# SPDX-License-Identifier: Apache-2.0
"""Devices that are not known to hold the C2's newest key: named, reached, and brought there in the end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from e4c2 import c2keys, clients, topics
from e4c2.model import Reason
from e4core.errors import Conflict, NotFound, UnsupportedSuite
from tests.c2.devices import Witness
from tests.c2.test_c2keys import reaches
from tests.c2.world import World


def test_laggards_stay_reachable_over_several_changes(pk: World) -> None:
    a, b = pk.add("a"), pk.add("b")
    pk.topic("t", "a", "b")
    for _ in range(3):
        a.away = True
        pk.do(c2keys.new, Reason.ROUTINE)
        pk.settle_down()
        a.away = False
        pk.do(c2keys.finish, force=True)
        assert reaches(pk, "a", "b")
    assert a.client.state.c2_public == b.client.state.c2_public == pk.c2_public(4)


def test_laggard_that_is_back_after_the_end_of_the_change_gets_the_new_key(pk: World) -> None:
    a = pk.add("a")
    pk.topic("t", "a")
    a.away = True
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.settle_down()
    pk.do(c2keys.finish, force=True)
    a.away = False
    pk.clock.now += 60
    pk.greet("a")
    pk.settle_down()
    assert a.client.state.c2_public == pk.c2_public(2)


def behind(world: World) -> list[str]:
    return [each.name for each in world.do(clients.laggards)]


def test_laggards_are_named_until_they_are_known_to_hold_the_newest_key(pk: World) -> None:
    away = pk.add("away")
    for name in "ab":
        pk.add(name)
    pk.add("w", Witness)
    pk.do(clients.new_key, "b", Reason.COMPROMISED)
    away.away = True
    assert behind(pk) == []
    pk.do(c2keys.new, Reason.ROUTINE)
    assert behind(pk) == ["a", "away", "w"]
    pk.settle_down()
    assert behind(pk) == ["away", "w"]
    assert [each.name for each in pk.do(clients.laggards, "away", 1)] == ["w"]
    assert {name: pk.do(clients.show, name).c2_key for name in ("a", "w")} == {"a": 2, "w": 1}
    pk.do(c2keys.finish, force=True)
    assert behind(pk) == ["away", "w"]


def test_an_operator_confirms_for_devices_that_do_not_report(pk: World) -> None:
    w = pk.add("w", Witness)
    pk.topic("t", "w")
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.settle_down()
    with pk.refuses(Conflict):
        pk.do(c2keys.finish)
    assert pk.do(clients.confirm_c2_key, "w").c2_key == 2
    assert behind(pk) == []
    assert [kind for _, kind, _ in pk.states("w")] == ["topic"]
    assert pk.do(c2keys.finish).version == 2
    before = len(pk.wire)
    assert reaches(pk, "w")
    assert len(pk.wire) - before == 1
    assert w.client.pk_key.c2_public == pk.c2_public(2)


def test_a_laggard_of_several_changes_is_confirmed_once(pk: World) -> None:
    pk.add("w", Witness)
    pk.topic("t", "w")
    for _ in range(2):
        pk.do(c2keys.new, Reason.ROUTINE)
        pk.settle_down()
        pk.do(c2keys.finish, force=True)
    assert pk.do(clients.confirm_c2_key, "w").c2_key == 3
    assert reaches(pk, "w")


def test_a_key_that_was_never_sent_is_not_confirmed(pk: World) -> None:
    """Nobody can have seen that the device uses it, and it would be out of reach."""
    pk.add("w", Witness)
    pk.topic("t", "w")
    pk.do(c2keys.new, Reason.ROUTINE)
    with pk.refuses(Conflict):
        pk.do(clients.confirm_c2_key, "w")
    pk.settle_down()
    pk.do(clients.confirm_c2_key, "w")
    pk.do(c2keys.finish)
    pk.do(c2keys.new, Reason.ROUTINE)
    with pk.refuses(Conflict):
        pk.do(clients.confirm_c2_key, "w")


def test_what_needs_no_confirmation_gets_none(pk: World, sk: World) -> None:
    for world in (pk, sk):
        world.add("a")
        with world.refuses(NotFound):
            world.do(clients.confirm_c2_key, "nobody")
    with pk.refuses(Conflict):
        pk.do(clients.confirm_c2_key, "a")
    with sk.refuses(UnsupportedSuite):
        sk.do(clients.confirm_c2_key, "a")
    assert sk.do(clients.laggards) == []
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.settle_down()
    pk.do(clients.new_key, "a", Reason.COMPROMISED)
    with pk.refuses(Conflict):
        pk.do(clients.confirm_c2_key, "a")


# A change that is given up


def abort(world: World) -> None:
    assert world.do(c2keys.abort).state == "aborted"
    world.crash()
    world.settle_down()


def test_change_that_was_given_up_leaves_everybody_reachable_whatever_they_hold(pk: World) -> None:
    for name in "abc":
        pk.add(name)
    witnesses = {name: pk.add(name, Witness) for name in "uvw"}
    names = list(pk.devices)
    pk.topic("t", *names)
    for name in "cw":
        pk.devices[name].away = True
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.carry()
    pk.devices["b"].inbox.clear()
    pk.devices["v"].inbox.clear()
    pk.obey()
    pk.reports.clear()  # a has taken it, and could not say so
    abort(pk)
    for name in "cw":
        pk.devices[name].away = False
    pk.greet()
    pk.settle_down()
    assert reaches(pk, *names)
    assert witnesses["w"].client.pk_key.c2_public == pk.c2_public(1), "nobody else is told"
    assert witnesses["u"].client.pk_key.c2_public == pk.c2_public(2)
    assert behind(pk) == ["a"], "which is known to hold what was given up"
    with pk.refuses(NotFound):
        pk.do(c2keys.abort)
    with pk.refuses(Conflict):
        pk.do(clients.create, "new", pk.public(pk.devices["a"].private), 2)
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.greet()
    pk.settle_down()
    for name in "uvw":
        pk.do(clients.confirm_c2_key, name)
    assert behind(pk) == []
    assert pk.do(c2keys.finish).version == 3
    assert reaches(pk, *names)


@pytest.mark.parametrize("steps", range(4))
def test_giving_up_survives_a_crash_between_any_two_steps(pk2: World, steps: int) -> None:
    for name in "ab":
        pk2.add(name)
    pk2.topic("t", "a", "b")
    pk2.do(c2keys.new, Reason.ROUTINE)
    work: list[Callable[[], object]] = [pk2.carry, pk2.obey, pk2.receive, pk2.carry]
    for step in work[:steps]:
        step()
    pk2.crash()
    abort(pk2)
    pk2.greet()
    pk2.settle_down()
    pk2.do(topics.rotate, "t")
    pk2.settle_down()
    assert {pk2.devices[name].key("t") for name in "ab"} == {pk2.topic_key("t")}
    assert pk2.states("a") == pk2.states("b") == []
    pk2.do(c2keys.new, Reason.ROUTINE)
    pk2.settle_down()
    assert pk2.do(c2keys.finish).version == 3


def test_compromise_gives_up_what_was_given_up_before(pk: World) -> None:
    pk.add("a")
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.do(c2keys.abort)
    pk.do(c2keys.new, Reason.COMPROMISED)
    assert [key.state for key in pk.do(c2keys.all_versions)] == ["compromised", "compromised", "active"]


def test_report_under_a_key_that_is_not_the_newest_confirms_no_newer_one(pk: World) -> None:
    pk.add("a")
    pk.topic("t", "a")
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.carry()
    pk.obey()
    pk.do(c2keys.finish, force=True)
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.receive()
    assert pk.do(clients.show, "a").c2_key == 2
    pk.settle_down()
    assert behind(pk) == []
    assert pk.do(c2keys.finish).version == 3
