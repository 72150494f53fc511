# SPDX-License-Identifier: Apache-2.0
"""Format 2: a command that a device refuses leaves no change of keys hanging."""

from __future__ import annotations

import os

import pytest

from e4c2 import c2keys, clients, topics
from e4c2.model import Reason
from e4core import report
from e4core.errors import Conflict
from e4core.report import Ack, Outcome
from tests.c2.world import World, ours

pytestmark = pytest.mark.format(2)


def restore(world: World, backup: bytes) -> None:
    world.store.close()
    world.database.write_bytes(backup)
    world.open()


def refuse(world: World, refusal: str) -> None:
    """What was just sent to the device ``a`` never arrives, and it says so."""
    a = ours(world, "a")
    a.inbox.clear()
    sequence = world.dump()["command_sequence"][0][1]
    ack = Ack(a.digest(), report.subject(sequence), Outcome.REFUSED, refusal, a.client.state.last)
    world.hear(a, report.seal(a.suite, a.channel(), a.id, ack, os.urandom(16)))


def key_states(world: World) -> set[str]:
    return {each.state for each in world.deliveries("a") if each.kind in ("id_key", "c2_key")}


def test_key_change_that_was_refused_for_a_topic_comes_to_its_end(fleet: World) -> None:
    """A restored C2 sends a topic key that is older than what the device holds, and a change of its key with it."""
    fleet.store.close()
    backup = fleet.database.read_bytes()
    fleet.open()
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    fleet.clock.now += 7200
    restore(fleet, backup)
    a = ours(fleet, "a")
    a.client.erase_expired(fleet.clock.now)
    fleet.do(clients.new_key, "a", Reason.ROUTINE)
    fleet.do(topics.leave, "t", ["a"], rekey=False)
    fleet.do(topics.join, "t", ["a"])
    before = a.state.private
    fleet.settle_down()
    assert Outcome.REFUSED in {each.outcome for each in a.handled}
    assert not fleet.do(clients.show, "a").key_change
    assert a.state.private != before
    assert fleet.digest_fits("a")
    assert key_states(fleet) == {"confirmed"}


@pytest.mark.parametrize("refusal", ["bad_key", "unsupported"])
def test_key_change_that_is_refused_in_company_travels_alone_and_the_rest_without_it(
    fleet: World, refusal: str
) -> None:
    a = ours(fleet, "a")
    fleet.do(clients.new_key, "a", Reason.ROUTINE)
    fleet.do(topics.rotate, "t")
    fleet.carry()
    refuse(fleet, refusal)
    before = len(fleet.wire)
    fleet.carry()
    assert set(fleet.kinds_sent_to("a", before)) - {"ResetPubKeys"} == {"ResetTopics", "SetTopicKey"}
    fleet.obey()
    fleet.receive()
    before = len(fleet.wire)
    fleet.carry()
    assert fleet.kinds_sent_to("a", before) == ["SetIDKey" if fleet.suite.is_symmetric else "NewIDKey"]
    refuse(fleet, refusal)
    assert key_states(fleet) == {"refused"}
    assert a.key("t") == fleet.topic_key("t")


def test_key_change_that_a_device_refused_can_be_taken_back(fleet: World) -> None:
    fleet.do(clients.new_key, "a", Reason.ROUTINE)
    fleet.carry()
    if fleet.suite.is_symmetric:
        with fleet.refuses(Conflict):
            fleet.do(clients.cancel_key, "a")
    refuse(fleet, "unsupported")
    assert key_states(fleet) == {"refused"}
    fleet.do(clients.cancel_key, "a")
    fleet.do(clients.new_key, "a", Reason.ROUTINE)
    fleet.settle_down()
    assert not fleet.do(clients.show, "a").key_change


def test_new_key_of_the_c2_is_sent_again(pk2: World) -> None:
    pk2.add("a")
    pk2.topic("t", "a")
    pk2.do(c2keys.new, Reason.ROUTINE)
    pk2.do(topics.rotate, "t")
    pk2.carry()
    refuse(pk2, "bad_key")
    pk2.settle_down()
    assert "confirmed" in key_states(pk2)
    assert not ours(pk2, "a").client.state.former_c2_public
