# SPDX-License-Identifier: Apache-2.0
"""The kit passes a driver that is right, and fails each that is wrong in one way for the requirement that says so."""

from __future__ import annotations

import pytest

from e4conformance import kit
from e4conformance.kms import KMS, KmsHooks, subject
from tests.conformance.kms.broken import BROKEN, TRIES, Right, load

_CHILDREN = ("E4-KCON-001", "E4-KCON-002", "E4-KCON-003", "E4-KCON-004", "E4-KCON-005")


def _hooks(uri: str) -> KmsHooks:
    def rotate() -> str:
        Right.rotations += 1
        return uri

    nothing_there = "it is in this process"
    return KmsHooks(
        secrets=(b"no such thing",),
        rotate=rotate,
        second_uri=lambda: f"{uri} other",
        wrong_credentials_uri=lambda: f"{uri}&pin=wrong-{len(TRIES)}",
        tries=lambda: len(TRIES),
        lacks=dict.fromkeys(
            ["outage", "missing-key", "disabled-key", "permissions", "restart", "deadline"], nothing_there
        ),
    )


def _outcomes(kind: type[Right], *only: str) -> list[kit.Outcome]:
    uri = f"broken:{kind.__name__}?seed"
    with subject(uri, _hooks(uri), load=load) as examined:
        return list(kit.run(examined, KMS, only))


def test_the_right_driver_conforms() -> None:
    outcomes = _outcomes(Right)
    assert [(each.requirement.id, each.detail) for each in outcomes if each.is_in_the_way] == []


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_what_is_wrong_is_found(kind: type[Right]) -> None:
    at_once = [requirement.id for requirement in KMS if requirement.id not in _CHILDREN]
    only = BROKEN[kind] if BROKEN[kind] in _CHILDREN else ""
    failed = {each.requirement.id for each in _outcomes(kind, *([only] if only else at_once)) if each.is_in_the_way}
    assert BROKEN[kind] in failed


def test_a_driver_that_crashes_is_a_failed_check_that_says_how() -> None:
    (outcome,) = _outcomes(_named("CrashesUnderThreads"), "E4-KCON-001")
    assert "SIGSEGV" in outcome.detail


def test_what_has_no_hook_is_not_exercised_and_says_which() -> None:
    with subject("broken:Right?seed", load=load) as examined:
        (outcome,) = kit.run(examined, KMS, ["E4-KLIF-006"])
    assert outcome.is_in_the_way
    assert outcome.verdict is kit.Verdict.NOT_EXERCISED
    assert "the hook restart is missing" in outcome.detail


def _named(name: str) -> type[Right]:
    return next(kind for kind in BROKEN if kind.__name__ == name)
