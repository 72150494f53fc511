# SPDX-License-Identifier: Apache-2.0
"""The C2's own key: stored before anyone hears of it, changed in overlap, and nobody is locked out."""

from __future__ import annotations

import pytest

from e4c2 import c2keys, clients, topics
from e4c2.model import Reason
from e4core.command import SetC2Key
from e4core.errors import Conflict, NotFound, UnsupportedSuite
from e4core.keys import Secret
from tests.c2.devices import Ours, Witness
from tests.c2.world import World


def states(world: World) -> list[str]:
    return [key.state for key in world.do(c2keys.all_versions)]


def reaches(world: World, *names: str) -> bool:
    """Whether a rotation of the topic t arrives at them."""
    world.do(topics.rotate, "t")
    world.settle_down()
    key, of = world.topic_key("t"), world.suite.derive_id("t")
    held = [world.devices[name].client for name in names]  # type: ignore[attr-defined]
    return all(
        (c.topic_keys[of.hex()] if isinstance(world.devices[n], Witness) else c.state.topics[of].key) == key
        for n, c in zip(names, held, strict=True)
    )


def test_change_reaches_everybody_and_is_then_finished(pk: World) -> None:
    for name in "abc":
        pk.add(name)
    pk.topic("t", *"abc")
    pk.do(c2keys.new, Reason.ROUTINE)
    assert states(pk) == ["active", "pending"]
    pk.settle_down()
    assert pk.do(c2keys.finish).version == 2
    assert states(pk) == ["retired", "active"]
    assert pk.do(c2keys.active_version) == 2
    before = len(pk.wire)
    assert reaches(pk, *"abc")
    assert len(pk.wire) - before == 3


def test_change_reaches_the_hundred_and_first_client_C_3(pk: World) -> None:
    names = [f"d{i:03}" for i in range(105)]
    for name in names:
        pk.add(name)
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.settle_down()
    assert all(pk.devices[name].client.state.c2_public == pk.c2_public(2) for name in names)  # type: ignore[attr-defined]
    assert pk.do(c2keys.finish).state == "active"


@pytest.mark.parametrize("published", [False, True])
def test_crash_while_the_new_key_is_sent_orphans_nobody_C_4(pk: World, published: bool) -> None:
    for name in "ab":
        pk.add(name)
    pk.topic("t", *"ab")
    pk.do(c2keys.new, Reason.ROUTINE)
    sealed = pk.claim()
    if published:
        pk.publish(sealed[0])
        pk.obey()
        pk.reports.clear()
    pk.crash()
    assert states(pk) == ["active", "pending"]
    assert reaches(pk, *"ab")
    assert pk.do(c2keys.finish).version == 2


def test_finish_is_refused_while_somebody_has_not_confirmed(pk: World) -> None:
    a, w = pk.add("a"), pk.add("w", Witness)
    pk.topic("t", "a", "w")
    a.away = True
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.settle_down()
    with pk.refuses(Conflict):
        pk.do(c2keys.finish)
    with pk.refuses(Conflict):
        pk.do(c2keys.new, Reason.ROUTINE)
    a.away = False
    assert reaches(pk, "a", "w")
    assert pk.do(c2keys.finish, force=True).version == 2
    assert reaches(pk, "a", "w")
    assert w.client.pk_key.c2_public == pk.c2_public(2)


def test_lost_change_is_sent_again_when_the_device_is_back(pk: World) -> None:
    a = pk.add("a")
    pk.topic("t", "a")
    a.away = True
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.settle_down()
    a.away = False
    pk.clock.now += 60
    pk.greet("a")
    pk.settle_down()
    assert a.client.state.c2_public == pk.c2_public(2)
    assert pk.do(c2keys.finish).version == 2


def test_client_registered_during_a_change_gets_the_new_key_too(pk: World) -> None:
    pk.add("a")
    pk.do(c2keys.new, Reason.ROUTINE)
    late = pk.add("late")
    pk.settle_down()
    pk.greet("late")
    pk.settle_down()
    assert late.client.state.c2_public == pk.c2_public(2)
    assert pk.do(c2keys.finish).version == 2


def test_client_enrolled_anew_during_a_change_gets_the_new_key_too(pk: World) -> None:
    a = pk.add("a")
    pk.add("b")
    pk.do(clients.new_key, "a", Reason.COMPROMISED)
    pk.do(c2keys.new, Reason.ROUTINE)
    private = Secret(pk.suite.device.generate())
    pk.do(clients.enrol, "a", pk.public(private), 1)
    pk.devices["a"] = again = Ours(pk.suite, "a", a.id, private, pk.c2_public(1))
    pk.settle_down()
    pk.greet("a")
    pk.settle_down()
    assert again.client.state.c2_public == pk.c2_public(2)
    assert pk.do(c2keys.finish).version == 2


def test_suspended_clients_do_not_hold_up_a_change(pk: World) -> None:
    pk.add("a")
    pk.add("b")
    pk.do(clients.new_key, "a", Reason.COMPROMISED)
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.settle_down()
    assert not any(isinstance(each, SetC2Key) for _, each in pk.sent_to("a"))
    assert pk.do(c2keys.finish).version == 2


def test_device_that_took_the_new_key_and_could_not_say_so_is_still_reached(pk: World) -> None:
    pk.add("a")
    pk.topic("t", "a")
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.carry()
    pk.obey()
    pk.reports.clear()
    assert reaches(pk, "a")
    assert pk.do(c2keys.finish).version == 2


def test_both_keys_may_change_at_once(pk: World) -> None:
    a = pk.add("a")
    pk.add("w", Witness)
    pk.topic("t", "a", "w")
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.do(clients.new_key, "a", Reason.ROUTINE)
    pk.do(clients.new_key, "w", Reason.ROUTINE)
    pk.settle_down()
    assert reaches(pk, "a", "w")
    assert (a.client.state.c2_public, pk.do(clients.show, "a").key_change) == (pk.c2_public(2), False)
    pk.do(clients.confirm_key, "w")
    assert reaches(pk, "a", "w")


def test_no_device_is_given_a_retired_key(pk: World) -> None:
    """It was asked for before the change was finished."""
    pk.add("a")
    pk.do(clients.new_key, "a", Reason.COMPROMISED)
    version = pk.do(c2keys.active_version)
    pk.do(c2keys.new, Reason.ROUTINE)
    pk.do(c2keys.finish)
    public = pk.public(Secret(pk.suite.device.generate()))
    with pk.refuses(Conflict):
        pk.do(clients.create, "late", public, version)
    with pk.refuses(Conflict):
        pk.do(clients.enrol, "a", public, version)
    pk.do(clients.create, "late", public, version + 1)


def test_nothing_to_finish_is_not_found(pk: World) -> None:
    with pk.refuses(NotFound):
        pk.do(c2keys.finish)
    with pk.refuses(NotFound):
        pk.do(c2keys.finish, force=True)


def test_symmetric_suites_have_no_c2_key(sk: World) -> None:
    assert (sk.do(c2keys.all_versions), sk.do(c2keys.active_version)) == ([], 0)
    for reason in Reason:
        with sk.refuses(UnsupportedSuite):
            sk.do(c2keys.new, reason)
    with sk.refuses(NotFound, UnsupportedSuite):
        sk.do(c2keys.finish)
