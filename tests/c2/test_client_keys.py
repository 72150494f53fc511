# SPDX-License-Identifier: Apache-2.0
"""Routine changes of device keys: no moment of one strands a device (rule 4)."""

from __future__ import annotations

from contextlib import suppress

import pytest

from e4c2 import c2keys, clients, links, topics
from e4c2.model import Delivery, Reason
from e4core.errors import Conflict, UnsupportedSuite
from e4core.keys import Secret
from tests.c2.devices import Witness
from tests.c2.world import World

ACTIVE = 1
HOUR = 3600
BAD_KEYS = [b"", bytes(32), bytes(31), b"\x01" * 33]


def version(world: World) -> int:
    return world.do(c2keys.active_version)


def fresh(world: World) -> Secret:
    return Secret(world.suite.device.generate())


# ------------------------------------------------------------------------------------------------ routine key change


def test_routine_change_is_over_when_a_report_opens_under_the_new_key(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    old = a.client.state.private
    world.do(clients.new_key, "a", Reason.ROUTINE)
    assert world.do(clients.show, "a").key_change
    world.settle_down()
    new = a.client.state.private
    assert new != old
    assert not world.do(clients.show, "a").key_change
    before = len(world.wire)
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.sent_to("a", before, [old]) == []
    assert len(world.sent_to("a", before, [new])) == 1
    assert world.digest_fits("a")


def test_lost_key_change_leaves_the_device_reachable_C_7(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.settle_down()
    a.away = False
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.digest_fits("a")


def test_lost_key_change_is_sent_again_when_the_device_is_back(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    old = a.client.state.private
    a.away = True
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.settle_down()
    a.away = False
    world.clock.now += 60
    world.greet("a")
    world.settle_down()
    assert a.client.state.private != old
    assert not world.do(clients.show, "a").key_change


def test_lost_key_change_is_not_called_confirmed(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    old = a.client.state.private
    a.away = True
    operation = world.do(clients.new_key, "a", Reason.ROUTINE)
    world.settle_down()
    a.away = False
    world.do(topics.rotate, "t")
    world.settle_down()
    assert a.client.state.private != old or world.counts(operation) != {Delivery.CONFIRMED: 1}


def test_device_that_changed_its_key_and_could_not_say_so_is_still_reached(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.carry()
    world.obey()
    world.reports.clear()
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.digest_fits("a")
    assert not world.do(clients.show, "a").key_change


def test_crash_between_commit_and_publish_of_a_new_key_loses_nothing_C_7(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.crash()
    world.claim()
    world.crash()
    world.settle_down()
    assert not world.do(clients.show, "a").key_change
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.digest_fits("a")
    assert a.client.state.private not in world.privates["a"]


@pytest.mark.format(1)
@pytest.mark.parametrize("arrives", [True, False])
def test_device_that_never_reports_is_reached_under_both_keys_until_an_operator_decides(
    world: World, arrives: bool
) -> None:
    a = world.add("a", Witness)
    world.topic("t", "a")
    a.away = not arrives
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.settle_down()
    a.away = False
    for _ in range(3):
        world.clock.now += 10 * HOUR  # never by time
        world.do(topics.rotate, "t")
        world.settle_down()
        assert a.client.topic_keys[world.suite.derive_id("t").hex()] == world.topic_key("t")
    assert world.do(clients.show, "a").key_change
    world.do(clients.confirm_key if arrives else clients.cancel_key, "a")
    before = len(world.wire)
    world.do(topics.rotate, "t")
    world.settle_down()
    assert len(world.wire) - before == 1
    assert a.client.topic_keys[world.suite.derive_id("t").hex()] == world.topic_key("t")


def test_second_change_waits_for_the_first(world: World) -> None:
    world.add("a")
    world.do(clients.new_key, "a", Reason.ROUTINE)
    with world.refuses(Conflict):
        world.do(clients.new_key, "a", Reason.ROUTINE)


@pytest.mark.parametrize("use", [clients.confirm_key, clients.cancel_key])
def test_nothing_to_confirm_or_cancel_is_a_conflict(world: World, use: object) -> None:
    world.add("a")
    with world.refuses(Conflict, UnsupportedSuite):
        world.do(use, "a")  # type: ignore[arg-type]


def test_cancelled_change_is_not_sent(world: World) -> None:
    a = world.add("a")
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.do(clients.cancel_key, "a")
    world.settle_down()
    assert not {"SetIDKey", "NewIDKey"} & set(world.kinds_sent_to("a"))
    assert a.client.state.private == world.privates["a"][0]


def test_change_whose_command_may_still_arrive_cannot_be_cancelled(world: World) -> None:
    """In Format 1 it lives 600 s, in Format 2 for ever: the device may yet take the key, and would be lost if the C2 forgot it."""
    a = world.add("a")
    world.topic("t", "a")
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.carry()
    with suppress(Conflict):
        world.do(clients.cancel_key, "a")
    world.settle_down()
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.digest_fits("a"), "the device took the cancelled key, and is unreachable"
    assert a.handled


def test_new_public_key_goes_to_those_who_hold_the_old_one(pk: World) -> None:
    for name in "abc":
        pk.add(name)
    pk.topic("t", "a", "b", "c")
    pk.do(links.send, "a", "b")
    pk.settle_down()
    pk.do(clients.new_key, "b", Reason.ROUTINE)
    pk.settle_down()
    pk.clock.now += 3
    assert pk.readers("t", "b") == {"a"}
    assert all(pk.digest_fits(name) for name in "abc")


def test_commands_of_a_new_key_come_as_set_id_key_alone(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    before = len(world.wire)
    world.do(clients.new_key, "a", Reason.ROUTINE)
    world.carry()
    asks = world.suite.format == 2 and not world.suite.is_symmetric
    assert world.kinds_sent_to("a", before) == ["NewIDKey" if asks else "SetIDKey"]
