# SPDX-License-Identifier: Apache-2.0
"""Format 2: what an enrolled device says, or who records its hellos, stops neither the C2 nor anybody else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from e4c2 import sequences, topics
from e4core import report
from e4core.errors import InFuture
from e4core.formats import new_client
from e4core.keys import report_topic
from e4core.report import Ack, Hello, Outcome
from e4core.transport import Incoming
from tests.c2.devices import Ours
from tests.c2.test_courier import with_courier
from tests.c2.world import World, ours

pytestmark = pytest.mark.format(2)

DAY = 86_400


def say(world: World, device: Ours, content: report.Report) -> None:
    world.hear(device, report.seal(device.suite, device.channel(), device.id, content, os.urandom(16)))


def exchange(world: World) -> None:
    """One report, one command, one ack."""
    world.receive()
    world.carry()
    world.obey()
    world.receive()


# Numbers that no C2 ever gave

NUMBERS = (2**63 - 1, 2**63, 2**64 - 1)


class Liar(Ours):
    """Before each answer it acknowledges commands that were never sent, and in every other way that there is."""

    def take(self, payload: bytes, now: float) -> Sequence[bytes]:
        last = self.client.state.last
        lies: list[report.Report] = [
            Ack(self.digest(), report.subject(number), outcome, refusal, known)
            for number in NUMBERS
            for known in (last, number)
            for outcome, refusal in ((Outcome.APPLIED, ""), (Outcome.ALREADY, ""), (Outcome.REFUSED, "bad_key"))
        ]
        lies += [Hello(self.digest(), b"\xff" * 16, number) for number in NUMBERS]
        sealed = [report.seal(self.suite, self.channel(), self.id, each, os.urandom(16)) for each in lies]
        return [*sealed, *super().take(payload, now)]


def test_acks_of_commands_that_were_never_sent_end_no_courier(fleet: World) -> None:
    a = ours(fleet, "a")
    liar = fleet.devices["a"] = Liar(fleet.suite, a.name, a.id, a.private, a.client.state.c2_public)
    liar.start(a.state)
    operation = fleet.do(topics.rotate, "t")
    courier = with_courier(fleet, lambda _: False, lambda: fleet.counts(operation) == {"confirmed": 2}, "a", "b")
    assert fleet.counts(operation) == {"confirmed": 2}
    assert courier.refused["timestamp_future"] == 4 * len(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_ack_of_a_command_that_was_never_sent_changes_nothing(fleet: World, number: int) -> None:
    a = ours(fleet, "a")
    fleet.do(topics.rotate, "t")
    fleet.carry()
    before = fleet.dump()
    say(fleet, a, Ack(a.digest(), report.subject(number), Outcome.APPLIED, "", a.client.state.last))
    assert fleet.dump() == before


# A C2 whose clock once ran ahead

AHEAD_S = 30 * DAY


def run_ahead(world: World) -> None:
    """For one rotation."""
    world.clock.now += AHEAD_S
    world.do(topics.rotate, "t")
    world.settle_down()
    world.clock.now -= AHEAD_S


def test_c2_whose_clock_once_ran_ahead_hears_its_devices(fleet: World) -> None:
    run_ahead(fleet)
    operation = fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    assert fleet.receive() == []
    assert fleet.counts(operation) == {"confirmed": 2}
    fleet.greet("a", "b")
    assert fleet.receive() == []


def test_device_is_still_not_believed_to_know_what_is_above_the_numbers_of_such_a_c2(fleet: World) -> None:
    run_ahead(fleet)
    a = ours(fleet, "a")
    with fleet.refuses(InFuture):
        say(fleet, a, Hello(a.digest(), os.urandom(16), a.client.state.last + 1))
    assert a.client.state.last > (fleet.clock.now + DAY) * sequences.PER_SECOND


# Hellos that somebody has recorded, and sends again


def hello(world: World, name: str) -> Incoming:
    device = ours(world, name)
    return Incoming(report_topic(device.id), device.hello(world.clock.now))


def syncs(world: World) -> list[Any]:
    return [each for each in world.deliveries("a") if each.kind == "sync"]


def test_hello_is_answered_once(fleet: World) -> None:
    recorded = hello(fleet, "a")
    for _ in range(3):
        fleet.take(recorded)
        exchange(fleet)
        fleet.clock.now += 60
    assert len(syncs(fleet)) == 1


def test_who_records_hellos_keeps_no_device_without_a_clock_mute(fleet: World) -> None:
    a = ours(fleet, "a")
    recorded = [hello(fleet, "a") for _ in range(4)]  # of which the C2 never heard
    a.client.close()
    a.client = new_client(fleet.suite, a.state, a._save, clock_is_trusted=False)
    for each in recorded:
        fleet.clock.now += 10.5
        fleet.take(each)
        exchange(fleet)
    fleet.clock.now += 5
    fleet.greet("a")
    exchange(fleet)
    assert a.client.synchronised
    assert a.client.protect(b"x", "t", fleet.clock.now)


def test_old_hello_does_not_take_the_place_of_one_that_waits(fleet: World) -> None:
    recorded, a = hello(fleet, "a"), ours(fleet, "a")
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    a.start(a.state)
    fleet.take(hello(fleet, "a"))  # the broker is away for a while
    fleet.clock.now += 30
    fleet.take(recorded)
    fleet.settle_down()
    assert a.client.synchronised


def test_hello_after_the_newest_command_is_answered_at_once_but_not_any_number_of_times(fleet: World) -> None:
    for _ in range(3):
        for _ in range(5):
            fleet.take(hello(fleet, "a"))
        exchange(fleet)
        fleet.clock.now += 2
    assert len(syncs(fleet)) == 3


def test_hello_of_before_the_newest_command_has_to_wait(fleet: World) -> None:
    a = ours(fleet, "a")
    for _ in range(5):
        say(fleet, a, Hello(a.digest(), os.urandom(16), a.client.state.last - 1))
        fleet.settle_down()
    assert len(syncs(fleet)) == 1
