# SPDX-License-Identifier: Apache-2.0
"""Negative controls: each port is wrong in one thing, and the kit fails it for that very thing."""

from __future__ import annotations

import logging
import sys

import pytest

from e4conformance.kit import Verdict
from e4conformance.ports import PortSubject, of
from e4conformance.ports.client import Port
from e4conformance.ports.links import opener
from e4conformance.ports.reference import ReferencePort
from tests.conformance.ports import broken, broken_edges
from tests.conformance.ports.broken_further import FURTHER
from tests.conformance.ports.reach import examined, here

WRONG_DEVICES = [
    (broken.TakesReplays, "fips-sk", "E4-PMSG-008", "a message that was just accepted is accepted"),
    (broken.TakesReplays, "sk", "E4-PMSG-008", "a message that was just accepted is accepted"),
    (broken.ForgetsAtRestart, "fips-sk", "E4-PSTA-001", "accepted before a crash is accepted"),
    (broken.ForgetsAtRestart, "pk", "E4-PSTA-001", "accepted before a crash is accepted"),
    (broken.IgnoresTopic, "fips-pk", "E4-PMSG-005", "came on another topic is accepted"),
    (broken.RepeatsSessions, "fips-sk", "E4-PMSG-023", "a session was taken again"),
    (broken.TakesStaleCommands, "fips-sk", "E4-PCMD-002", "is applied at once"),
    (broken.TakesStaleCommands, "sk", "E4-PCMD-002", "is applied at once"),
    (broken.DropsGrace, "sk", "E4-PEPO-001", "is refused: not_authentic"),
    (broken.DropsGrace, "fips-sk", "E4-PEPO-001", "is refused: epoch_retired"),
    (broken.WrongEpochRule, "fips-sk", "E4-PEPO-002", "refused as epoch_retired, not as epoch_unknown"),
    (broken.WrongSender, "fips-sk", "E4-PMSG-001", "not who sent it"),
    (broken.SendsTheSame, "sk", "E4-PMSG-022", "the same bytes were sent twice"),
    (broken.NoRandom, "fips-sk", "E4-PREP-001", "a salt was used twice"),
    (broken.NoRandom, "fips-sk", "E4-PREP-002", "the nonce of a hello was used before"),
    (broken.LosesNewKeys, "sk", "E4-PCMD-007", "a command is refused: not_authentic"),
    (broken.LosesNewKeys, "fips-pk", "E4-PCMD-007", "a command is refused: bad_signature"),
    (broken.ObeysInPart, "fips-sk", "E4-PCMD-006", "topics is []"),
    (broken_edges.NarrowWindow, "fips-sk", "E4-PMSG-010", "1024 below the highest is refused, with a window of 1024"),
    (broken_edges.TakesWhatIsBehind, "fips-sk", "E4-PMSG-010", "1025 below the highest is accepted twice"),
    (broken_edges.ForgetsSessions, "fips-sk", "E4-PMSG-011", "session 1 of 17, for the second time, is accepted"),
    (broken_edges.ForgetsRefusals, "fips-sk", "E4-PCMD-008", "is applied after a newer one was refused, and a crash"),
    (broken.TakesLongCommands, "fips-sk", "E4-PCMD-003", "bytes are there is accepted"),
    (broken.OnItsClock, "fips-sk", "E4-PORT-008", "is refused"),
    (broken.OnItsClock, "pk", "E4-PORT-008", "is refused"),
]
WRONG_PORTS = [
    (broken.TakesShortTags, "E4-PMSG-004", "bytes are there is accepted"),
    (broken.TakesAnyTag, "E4-PMSG-003", "is changed is accepted"),
    (broken.StreamsWhatIsLong, "E4-PMSG-003", "a message of 65536 bytes whose bit "),
    (broken.StreamsWhatIsLong, "E4-PMSG-004", "bytes are there is accepted"),
    (broken.ObeysAgain, "E4-PCMD-002", "obeyed before is applied at once"),
    (broken.ShowsKeys, "E4-PSEC-001", "the device's key in what it answers"),
    (broken.ShowsPairs, "E4-PSEC-001", "the device's key in what it answers"),
    (broken.AnswersTwice, "E4-PORT-002", "a line that nobody asked for"),
    (broken.ForgetsIds, "E4-PORT-002", "answers id 1 where 7 was asked"),
    (broken.KeepsTheDevice, "E4-PORT-006", "on a topic of the device before is refused as replayed"),
    (broken.WrongDigest, "E4-PCMD-001", "then digest is 0000"),
]
WRONG_PROCESSES = [
    (broken.Hangs, "E4-PREP-002", "does not answer in time"),
    (broken.DiesOfGarbage, "E4-PORT-004", "UnicodeDecodeError"),
    (broken.Garbles, "E4-PREP-002", "no JSON object: b'debug: hello'"),
    (broken.TellsKeys, "E4-PSEC-001", "the device's key in what it answers or writes"),
]


@pytest.mark.parametrize(("device", "suite", "number", "seen"), WRONG_DEVICES)
def test_a_device_that_is_wrong_fails_the_requirement_that_names_it(
    device: type[broken.BrokenDevice], suite: str, number: str, seen: str
) -> None:
    _fails(here(broken.port_with(device), suite), number, seen)


@pytest.mark.parametrize(("port", "number", "seen"), WRONG_PORTS)
def test_a_port_that_is_wrong_fails_the_requirement_that_names_it(
    port: type[ReferencePort], number: str, seen: str
) -> None:
    _fails(here(port, "fips-sk"), number, seen)


@pytest.mark.parametrize(("port", "number", "seen"), WRONG_PROCESSES)
def test_a_process_that_hangs_ends_or_prints_fails_with_what_was_seen(
    port: type[ReferencePort], number: str, seen: str
) -> None:
    command = f"{sys.executable} -m tests.conformance.ports.broken {port.__name__} --suite fips-sk"
    reached = Port(opener(command))
    try:
        subject = of(reached, seed=11)
        if port is broken.Hangs:
            reached.deadline_s = 0.3
        _fails(subject, number, seen)
    finally:
        reached.close()


@pytest.mark.parametrize("number", FURTHER)
def test_each_other_requirement_fails_a_port_too(number: str) -> None:
    make, suite = FURTHER[number]
    outcome = examined(here(make, suite), number)[number]
    assert outcome.verdict is (Verdict.WARNED if number == "E4-PMSG-103" else Verdict.FAILED), outcome.detail
    assert "raised" not in outcome.detail, "by an accident of the check"


def test_of_stories_that_fail_each_is_named_and_its_lines_can_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    detail = examined(here(broken.port_with(broken.TakesReplays), "fips-sk"), "E4-PMSG-113")["E4-PMSG-113"].detail
    count, first, second, *_ = detail.splitlines()
    assert count == "3 of 5 stories:"
    assert first.startswith("fips-sk: ") and first.endswith("(unprotect), result is ok, not error (due is replayed)")
    assert second.startswith("fips-sk: ")
    told = [record.getMessage() for record in caplog.records]
    begun = told.index(f"story: {first.partition(': step ')[0]}")
    assert told[begun + 1].startswith('> {"id": ')
    assert told[begun + 2].startswith('< {"id":')


def test_what_is_all_or_none_is_in_conflict_in_each_place() -> None:
    subject = here(ReferencePort, "fips-sk")
    assert examined(subject, "E4-PCMD-006")["E4-PCMD-006"].verdict is Verdict.PASSED
    assert sum(b'"refused"' in answer for answer in subject.port.heard) == 3


def _fails(subject: PortSubject, number: str, seen: str) -> None:
    outcome = examined(subject, number)[number]
    assert outcome.verdict is Verdict.FAILED
    assert seen in outcome.detail
