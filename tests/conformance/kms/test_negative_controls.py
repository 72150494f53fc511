# SPDX-License-Identifier: Apache-2.0
"""The kit passes a driver that is right, and fails each that is wrong in one way for the requirement that says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e4conformance import kit
from e4conformance.kms import KMS, KmsHooks, subject
from e4core.errors import InvalidInput
from e4core.keys import Secret
from e4core.kms import Wrapped
from tests.conformance.kms.broken import BROKEN, DOWN, TRIES, HangsInChildren, IgnoresLastByte, Right, load


@contextmanager
def _down() -> Iterator[None]:
    DOWN.append("down")
    try:
        yield
    finally:
        DOWN.clear()


def _hooks(uri: str) -> KmsHooks:
    def rotate() -> str:
        Right.rotations += 1
        return uri

    nothing_there = "it is in this process"
    return KmsHooks(
        secrets=(b"no such thing",),
        unreachable=_down,
        rotate=rotate,
        second_uri=lambda: f"{uri} other",
        wrong_credentials_uri=lambda: f"{uri}&pin=wrong-{len(TRIES)}",
        tries=lambda: len(TRIES),
        lacks=dict.fromkeys(["missing-key", "disabled-key", "permissions", "restart", "deadline"], nothing_there),
    )


def _outcomes(kind: type[Right], *only: str) -> list[kit.Outcome]:
    uri = f"broken:{kind.__name__}?seed"
    with subject(uri, _hooks(uri), load=load) as examined:
        examined.budget_s = 0.0 if kind is IgnoresLastByte else 1.0
        examined.children.limit_s = 1.5 if kind is HangsInChildren else 60.0
        return list(kit.run(examined, KMS, only))


def test_the_right_driver_conforms() -> None:
    outcomes = _outcomes(Right)
    assert [(each.requirement.id, each.detail) for each in outcomes if each.is_in_the_way] == []


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_what_is_wrong_is_found(kind: type[Right]) -> None:
    (outcome,) = _outcomes(kind, BROKEN[kind])
    assert outcome.verdict is kit.Verdict.FAILED
    how, _, what = outcome.detail.partition(" ")
    assert how != "raised" or what.startswith("Tampered: changed"), "by an accident of the check"


def test_a_driver_that_crashes_is_a_failed_check_that_says_how() -> None:
    (outcome,) = _outcomes(_named("CrashesUnderThreads"), "E4-KCON-001")
    assert "SIGSEGV" in outcome.detail


def test_a_driver_that_hangs_in_a_forked_child_is_ended_with_it() -> None:
    (outcome,) = _outcomes(HangsInChildren, "E4-KCON-004")
    assert outcome.detail == "the process was ended by SIGKILL: it did not end within 1.5 s"


def test_where_time_is_short_each_byte_is_tried_and_the_note_says_so() -> None:
    with subject("broken:Right?seed", load=load) as examined:
        examined.budget_s = 0.0
        (outcome,) = kit.run(examined, KMS, ["E4-WRAP-010"])
    assert outcome.note == "60 of 480 bits were flipped: one of each byte, and more"


def test_a_requirement_draws_the_same_alone_as_among_others() -> None:
    class Noting(Right):
        def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
            contexts.append(context)
            return super().unwrap(wrapped, context)

    drawn = []
    for only in (("E4-WRAP-003", "E4-WRAP-016"), ("E4-WRAP-016",)):
        contexts: list[bytes] = []
        with subject("noting:", seed=7, load=lambda _: Noting("seed")) as examined:
            assert kit.conforms(kit.run(examined, KMS, only))
        drawn.append(contexts)
    assert drawn[0] == drawn[1]


def test_what_is_lacking_says_why() -> None:
    with subject("broken:Right?seed", KmsHooks(lacks={"restart": "it is a file"}), load=load) as examined:
        (restart, created) = kit.run(examined, KMS, ["E4-KLIF-006", "E4-KROT-020"])
    assert restart.detail == "the capability 'restart' is not declared: it is a file"
    assert created.detail == "the capability 'create' is not declared: the driver is no CreatesKey"


@pytest.mark.parametrize("reason", ["", " "])
def test_to_lack_something_needs_a_reason(reason: str) -> None:
    with pytest.raises(InvalidInput, match="no reason for restart"):
        KmsHooks(lacks={"restart": reason})


def test_what_has_no_hook_is_not_exercised_and_says_which() -> None:
    with subject("broken:Right?seed", load=load) as examined:
        (outcome,) = kit.run(examined, KMS, ["E4-KLIF-006"])
    assert outcome.is_in_the_way
    assert outcome.verdict is kit.Verdict.NOT_EXERCISED
    assert "the hook restart is missing" in outcome.detail


def _named(name: str) -> type[Right]:
    return next(kind for kind in BROKEN if kind.__name__ == name)
