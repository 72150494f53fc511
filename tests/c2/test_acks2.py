# SPDX-License-Identifier: Apache-2.0
"""Format 2: what follows from a report, and what does not (`format2.md` section 4)."""

from __future__ import annotations

import os
from typing import Any

import pytest

from e4c2 import clients, delivery, links, sequences, topics
from e4c2.model import Reason
from e4core import report
from e4core.errors import AuthenticationFailed, InFuture, InvalidInput
from e4core.report import Ack, Hello, Outcome
from tests.c2.devices import Ours
from tests.c2.world import World, ours

pytestmark = pytest.mark.format(2)

DAY = 86_400


def say(world: World, device: Ours, content: report.Report) -> None:
    world.hear(device, report.seal(device.suite, device.channel(), device.id, content, os.urandom(16)))


def hello(device: Ours, last: int) -> Hello:
    return Hello(device.digest(), os.urandom(16), last)


def micros(world: World) -> int:
    return int(world.clock.now * sequences.PER_SECOND)


def numbers(world: World, name: str) -> tuple[int, int]:
    row = world.do(sequences.of, bytes(world.devices[name].id))
    assert row is not None
    return row["last"], row["confirmed"]


def outbox_of(world: World) -> list[Any]:
    return world.dump()["outbox"]


def test_ack_confirms_all_that_its_command_carried_and_nothing_else(fleet: World) -> None:
    fleet.do(topics.create, "u")
    operations = [fleet.do(topics.join, "u", ["a", "b"]), fleet.do(topics.rotate, "t")]
    fleet.carry()
    fleet.obey()
    later = fleet.do(topics.rotate, "t")
    fleet.receive()
    assert [fleet.counts(each) for each in operations] == [{"confirmed": 2}] * 2
    assert fleet.counts(later) == {"pending": 2}
    assert numbers(fleet, "a")[0] == numbers(fleet, "a")[1] == ours(fleet, "a").client.state.last


def test_ack_of_a_command_whose_place_another_took_confirms_nothing(fleet: World) -> None:
    operation = fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    acks = list(fleet.reports)
    fleet.reports.clear()
    fleet.greet("a")
    fleet.receive()
    fleet.carry()
    for ack in acks:
        fleet.take(ack)
    assert ("a", "topic", "sent") in fleet.states("a")
    fleet.obey()
    fleet.receive()
    assert fleet.states("a") == []
    assert fleet.counts(operation) == {"confirmed": 2}


def test_replayed_and_forged_acks_change_nothing(fleet: World) -> None:
    a = ours(fleet, "a")
    fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    acks = list(fleet.reports)
    fleet.receive()
    fleet.do(topics.rotate, "t")
    fleet.carry()
    a.away = True
    last, _ = numbers(fleet, "a")
    before = fleet.dump()
    for ack in acks:
        fleet.take(ack)
    for outcome, refusal in ((Outcome.APPLIED, ""), (Outcome.REFUSED, "bad_key")):
        for subject in (report.subject(last - 1), os.urandom(16), last.to_bytes(8, "little") + b"\x01" * 8):
            say(fleet, a, Ack(a.digest(), subject, outcome, refusal, min(last, a.client.state.last)))
    assert fleet.dump() == before
    assert fleet.states("a") == [("a", "topic", "sent")]


def test_ack_that_only_format_1_knows_is_refused(fleet: World) -> None:
    a = ours(fleet, "a")
    fleet.do(topics.rotate, "t")
    fleet.claim()
    subject = report.subject(numbers(fleet, "a")[0])
    with fleet.refuses(InvalidInput, kind="bad_report"):
        say(fleet, a, Ack(a.digest(), subject, Outcome.OUTDATED))


def test_repeated_answer_does_not_say_whether_the_command_was_applied(fleet: World) -> None:
    """Its first answer, by which it refused, is lost: what it holds now tells."""
    a = ours(fleet, "a")
    operation = fleet.do(topics.rotate, "t")
    fleet.claim()
    subject = report.subject(numbers(fleet, "a")[0])
    say(fleet, a, Ack(a.digest(), subject, Outcome.ALREADY, "", a.client.state.last))
    (seen,) = (each for each in fleet.deliveries("a") if each.operation == operation.id)
    assert seen.state != "confirmed"
    fleet.crash()
    fleet.settle_down()
    assert fleet.digest_fits("a")


def test_repeated_answer_of_a_device_that_holds_all_confirms(fleet: World) -> None:
    a = ours(fleet, "a")
    operation = fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    fleet.reports.clear()
    say(fleet, a, Ack(a.digest(), report.subject(a.client.state.last), Outcome.ALREADY, "", a.client.state.last))
    (seen,) = (each for each in fleet.deliveries("a") if each.operation == operation.id)
    assert seen.state == "confirmed"


def test_device_that_is_first_switched_on_after_a_year_is_no_restored_one(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    a = world.add("a")
    a.away = True
    world.topic("t", "a")
    world.clock.now += 365 * DAY
    world.do(delivery.tidy)
    a.away = False
    world.greet("a")
    world.settle_down()
    assert world.kinds_sent_to("a").count("ResetTopics") == 0
    assert world.digest_fits("a")
    assert caplog.text == ""


@pytest.mark.parametrize("refusal", sorted({*report.REFUSALS} - {"pubkey_missing"}))
def test_refused_command_is_shown_with_its_reason_and_the_device_caught_up(fleet: World, refusal: str) -> None:
    a = ours(fleet, "a")
    operation = fleet.do(topics.rotate, "t")
    fleet.claim()
    subject = report.subject(numbers(fleet, "a")[0])
    say(fleet, a, Ack(a.digest(), subject, Outcome.REFUSED, refusal, a.client.state.last))
    (seen,) = (each for each in fleet.deliveries("a") if each.operation == operation.id)
    assert (seen.state, seen.refusal) == ("refused", refusal)
    fleet.crash()  # of the other device's, which was not published
    for _ in range(3):
        fleet.carry()
        fleet.obey()
        fleet.receive()
        fleet.clock.now += 40
    assert fleet.digest_fits("a")
    assert a.key("t") == fleet.topic_key("t")


def test_key_that_is_not_there_to_be_removed_holds_back_nothing_else(pk2: World) -> None:
    """The device did nothing of that command: the rest of it is sent again."""
    for name in "ab":
        pk2.add(name)
    pk2.topic("t", "a")
    pk2.do(links.send, "a", "b")
    pk2.claim()
    pk2.do(links.remove, "a", "b")
    operation = pk2.do(topics.rotate, "t")
    pk2.crash()
    pk2.settle_down()
    assert {each.outcome for each in ours(pk2, "a").handled} >= {Outcome.REFUSED, Outcome.APPLIED}
    assert pk2.counts(operation) == {"confirmed": 1}
    assert [each.state for each in pk2.deliveries("a") if each.state == "refused"] == []
    assert pk2.digest_fits("a")


def test_hello_of_a_device_that_knows_more_than_the_c2_is_an_alarm_and_the_c2_goes_on_after_it(
    fleet: World, caplog: pytest.LogCaptureFixture
) -> None:
    a, known = ours(fleet, "a"), micros(fleet) + 3600 * sequences.PER_SECOND
    say(fleet, a, hello(a, known))
    assert numbers(fleet, "a")[0] == known
    assert "knows a command that this C2 does not" in caplog.text
    fleet.carry()
    assert numbers(fleet, "a")[0] == known + 1


def test_hello_with_a_number_of_a_later_day_is_refused(fleet: World) -> None:
    a = ours(fleet, "a")
    with fleet.refuses(InFuture):
        say(fleet, a, hello(a, micros(fleet) + (DAY + 1) * sequences.PER_SECOND))
    with fleet.refuses(InFuture):
        say(fleet, a, hello(a, 2**64 - 1))


def test_restored_c2_reaches_devices_although_its_clock_is_behind(fleet: World) -> None:
    a = ours(fleet, "a")
    fleet.clock.now += 3000
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    fleet.sql("DELETE FROM command_sequence")
    fleet.clock.now -= 2000
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    assert a.key("t") != fleet.topic_key("t"), "the device takes the command for an old one"
    fleet.greet("a")
    fleet.settle_down()
    assert a.key("t") == fleet.topic_key("t")
    assert fleet.states("a") == []


def test_restored_device_is_an_alarm_and_caught_up(fleet: World, caplog: pytest.LogCaptureFixture) -> None:
    a = ours(fleet, "a")
    copy = a.state
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    a.start(copy)
    fleet.clock.now += 30
    fleet.greet("a")
    fleet.settle_down()
    assert "has forgotten what it confirmed" in caplog.text
    assert "does not hold what it has confirmed" in caplog.text
    assert a.key("t") == fleet.topic_key("t")
    assert fleet.digest_fits("a")


def test_device_that_holds_what_it_should_is_no_alarm(fleet: World, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        fleet.do(topics.rotate, "t")
        fleet.settle_down()
        fleet.clock.now += 30
        fleet.greet("a", "b")
        fleet.settle_down()
    assert caplog.text == ""


def test_digest_of_a_hello_proves_nothing(fleet: World) -> None:
    """It may be a replay: only the ack of what was just sent says what the device holds."""
    a = ours(fleet, "a")
    good, empty = hello(a, a.client.state.last), Hello(bytes(16), os.urandom(16), a.client.state.last)
    fleet.do(topics.rotate, "t")
    fleet.carry()
    a.inbox.clear()
    say(fleet, a, good)
    assert ("a", "topic", "sent") in fleet.states("a")
    fleet.clock.now += 20
    say(fleet, a, empty)
    assert "reset_topics" not in {kind for _, kind, _ in fleet.states("a")}


def test_sync_carries_what_is_still_to_be_done(fleet: World) -> None:
    a = ours(fleet, "a")
    a.away = True
    fleet.do(topics.rotate, "t")
    fleet.settle_down()
    fleet.clock.now += 30 * DAY
    a.away = False
    before = len(fleet.wire)
    fleet.greet("a")
    fleet.settle_down()
    assert fleet.kinds_sent_to("a", before) == ["SetTopicKey", "Sync"]
    assert a.client.synchronised


def test_of_two_hellos_the_last_is_answered(fleet: World) -> None:
    a = ours(fleet, "a")
    fleet.greet("a")
    fleet.receive()
    fleet.clock.now += 11
    fleet.greet("a")
    fleet.settle_down()
    assert a.client.synchronised


def test_device_that_takes_the_place_of_another_is_no_restored_one(
    fleet: World, caplog: pytest.LogCaptureFixture
) -> None:
    old = ours(fleet, "a")
    fleet.do(clients.new_key, "a", Reason.COMPROMISED)
    private = fleet.suite.device.generate()
    version = 0 if fleet.suite.is_symmetric else 1
    fleet.do(clients.enrol, "a", fleet.public(private), version)  # type: ignore[arg-type]
    fleet.devices["a"] = Ours(fleet.suite, "a", old.id, private, fleet.c2_public(version))  # type: ignore[arg-type]
    fleet.greet("a")
    fleet.settle_down()
    assert caplog.text == ""
    assert fleet.digest_fits("a")


def test_oversize_and_truncated_reports_are_refused(fleet: World) -> None:
    a = ours(fleet, "a")
    good = a.hello(fleet.clock.now)
    longest = report.longest(fleet.suite)
    for bad in (good[:-1], good + b"\0", good + bytes(longest - len(good) + 1), good[:26], b""):
        with fleet.refuses(InvalidInput, AuthenticationFailed):
            fleet.hear(a, bad)
