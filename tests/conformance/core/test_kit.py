# SPDX-License-Identifier: Apache-2.0
"""What becomes of a check: its verdict, and that of the whole run."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from e4conformance.kit import Verdict, conforms, examine, run, summary
from e4conformance.requirement import Book, Level, NotExercised
from e4core.errors import InvalidInput
from tests.conformance.core.tiny import BOOK, Lamp

GOOD = Lamp()


class Panic(BaseException):
    """As one of Rust arrives in Python."""


def raising(error: BaseException) -> Callable[[], bool]:
    def switch() -> bool:
        raise error

    return switch


def verdicts(lamp: Lamp) -> dict[str, Verdict]:
    return {outcome.requirement.id: outcome.verdict for outcome in run(lamp, BOOK)}


def test_a_good_subject_conforms() -> None:
    outcomes = list(run(GOOD, BOOK))
    assert [outcome.verdict for outcome in outcomes] == [
        Verdict.PASSED,
        Verdict.PASSED,
        Verdict.PASSED,
        Verdict.PASSED,
        Verdict.NOT_APPLICABLE,
        Verdict.NOT_EXERCISED,
    ]
    assert conforms(outcomes)
    assert summary(outcomes) == "4 passed, 1 not exercised, 1 not applicable"
    assert outcomes[0].detail == ""


def test_whoever_hangs_is_given_up_whatever_they_catch() -> None:
    def hangs() -> bool:
        while True:
            try:
                time.sleep(60)
            except Exception:  # as a driver that tries again for ever
                continue

    outcome = examine(replace(GOOD, switch=hangs), BOOK["E4-AEAD-001"], limit_s=0.05)
    assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "it did not end within 0.05 s")
    assert examine(GOOD, BOOK["E4-AEAD-001"], limit_s=60).verdict is Verdict.PASSED
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_must_that_is_not_met_is_in_the_way() -> None:
    outcomes = list(run(replace(GOOD, switch=lambda: False), BOOK))
    assert [(each.verdict, each.detail) for each in outcomes[:2]] == [
        (Verdict.FAILED, "it stays dark"),
        (Verdict.FAILED, "it flickers"),
    ]
    assert not conforms(outcomes)


def test_a_should_that_is_not_met_is_told_and_not_in_the_way() -> None:
    outcomes = list(run(replace(GOOD, watts=60), BOOK))
    assert (outcomes[3].verdict, outcomes[3].detail) == (Verdict.WARNED, "it takes 60 W")
    assert conforms(outcomes)


@pytest.mark.parametrize("level", Level)
def test_what_was_not_exercised_is_in_the_way_where_it_must_hold(level: Level) -> None:
    def check(_lamp: Lamp) -> None:
        raise NotExercised("no hook")

    outcome = examine(GOOD, replace(BOOK["E4-AEAD-001"], level=level, check=check))
    assert (outcome.verdict, outcome.detail) == (Verdict.NOT_EXERCISED, "no hook")
    assert outcome.is_in_the_way is (level is Level.MUST)


def test_a_capability_that_is_declared_and_fails_is_a_failure() -> None:
    assert verdicts(replace(GOOD, declared=("colour",)))["E4-KDF-002"] is Verdict.FAILED


def test_a_capability_that_works_without_being_declared_is_told() -> None:
    outcome = examine(replace(GOOD, colour="red"), BOOK["E4-KDF-002"])
    assert (outcome.verdict, outcome.is_in_the_way) == (Verdict.WARNED, False)
    assert outcome.detail == "it holds, but the capability 'colour' is not declared"
    assert outcome.advice == "Declare 'colour': what is not declared is not proven."


def test_a_capability_that_is_neither_declared_nor_there_does_not_apply() -> None:
    assert verdicts(GOOD)["E4-KDF-002"] is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    "error", [OSError("no bulb"), Panic("no bulb"), SystemExit("no bulb"), RecursionError("no bulb")]
)
def test_whatever_a_subject_raises_is_a_failed_check(error: BaseException) -> None:
    outcome = examine(replace(GOOD, switch=raising(error)), BOOK["E4-AEAD-001"])
    assert outcome.verdict is Verdict.FAILED
    assert outcome.detail.startswith(f"raised {type(error).__name__}: no bulb (test_kit.py, line ")


def test_ctrl_c_ends_the_run() -> None:
    with pytest.raises(KeyboardInterrupt):
        list(run(replace(GOOD, switch=raising(KeyboardInterrupt())), BOOK))


def test_a_detail_has_an_end() -> None:
    outcome = examine(replace(GOOD, switch=raising(OSError("x" * 1_000_000))), BOOK["E4-AEAD-001"])
    assert len(outcome.detail) == 2000


def test_a_pass_may_note_what_could_not_be_tried() -> None:
    outcome = examine(replace(GOOD, watts=0), BOOK["E4-KDF-001"])
    assert (outcome.verdict, outcome.detail) == (Verdict.PASSED, "")
    assert outcome.note == "its plate was read, as it was out"


def test_a_run_is_confined_to_ids() -> None:
    assert [each.requirement.id for each in run(GOOD, BOOK, ["E4-KDF-001"])] == ["E4-KDF-001"]


def test_an_id_that_is_none_is_refused_before_anything_is_checked() -> None:
    with pytest.raises(
        InvalidInput, match="no requirement of a suite is called E4-AEAD-999; see: e4 conformance list suite"
    ):
        run(replace(GOOD, switch=raising(AssertionError())), BOOK, ["E4-AEAD-001", "E4-AEAD-999"])


@pytest.mark.parametrize(
    "number", ["E4-AEAD-001", "E4-AEAD-1", "AEAD-001", "E4-aead-001", "E4-TOOLONG-001", "E4-AEAD-0010"]
)
def test_ids_are_refused_that_are_none_or_taken(number: str) -> None:
    book: Book[Lamp] = Book("suite")
    book.must("E4-AEAD-001", "It holds.", source="here", advice="Wait.")(lambda _: None)
    with pytest.raises(ValueError, match=number):
        book.should(number, "It holds.", source="here", advice="Wait.")(lambda _: None)
    assert len(book) == 1


def test_nothing_checked_is_said() -> None:
    assert summary([]) == "nothing checked"
