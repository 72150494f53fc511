# SPDX-License-Identifier: Apache-2.0
"""What the checks make of threads that hang, of faults of others, and of what they cannot judge; and what is drawn and told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.backends.openssl import backend

from e4backends.fips import SUITE_SK
from e4backends.hybrid import SUITE as HYBRID
from e4backends.pyca import Gcm
from e4conformance.kit import Outcome, Verdict, run
from e4conformance.suites import SUITES, SuiteSubject, subject
from e4conformance.suites.subject import THIN
from tests.conformance.suites import toys
from tests.conformance.suites import toys_hidden as hidden
from tests.conformance.suites.broken import DIFFERENT, TOY, toy
from tests.conformance.suites.broken_parts import Like


def _outcome(examined: SuiteSubject, number: str) -> Outcome:
    (outcome,) = run(examined, SUITES, only={number})
    return outcome


def test_threads_that_hang_are_a_failure_and_not_the_end_of_the_run() -> None:
    hanging = SuiteSubject(toy(hidden.HangsInThreads), 1, effort=replace(THIN, patience_s=0.1))
    outcome = _outcome(hanging, "E4-AEAD-015")
    assert outcome.verdict is Verdict.FAILED
    assert "does not end within 0.1 s, in 4 of 4 threads" in outcome.detail


def test_a_panic_in_a_thread_is_told_as_what_it_is() -> None:
    outcome = _outcome(SuiteSubject(toy(hidden.PanicsInThreads), 1), "E4-AEAD-015")
    assert "raised Panic" in outcome.detail
    assert "4 of 4" in outcome.detail


class _Panics(Like):
    def seal(self, nonce: bytes, plaintext: bytes, ad: bytes, /) -> bytes:
        if len(plaintext) > 1000:
            raise hidden.Panic
        return self._part.seal(nonce, plaintext, ad)  # type: ignore[no-any-return]


class _Differs(Like):
    def seal(self, nonce: bytes, plaintext: bytes, ad: bytes, /) -> bytes:
        return self._part.seal(nonce, plaintext[:1000].ljust(len(plaintext)), ad)  # type: ignore[no-any-return]


class _Keyed(Like):
    def __init__(self, part: Any, kind: type[Like]) -> None:
        super().__init__(part)
        self._kind = kind

    def key(self, raw: bytes, /) -> Any:
        return self._kind(self._part.key(raw))


@pytest.mark.parametrize("kind", [_Panics, _Differs])
def test_who_gives_the_bytes_of_the_reference_does_not_pay_for_the_fault_of_another(kind: type[Like]) -> None:
    other = replace(SUITE_SK, name="other", aead=_Keyed(SUITE_SK.aead, kind))
    assert _outcome(SuiteSubject(SUITE_SK, 1, (other,)), "E4-AEAD-017").verdict is Verdict.PASSED
    assert _outcome(SuiteSubject(other, 1, (SUITE_SK,)), "E4-AEAD-017").verdict is Verdict.FAILED


def test_where_no_reference_says_who_is_wrong_it_is_one_of_the_two() -> None:
    suite, other, number = DIFFERENT["an AEAD at long inputs"]
    assert "one of the two is wrong" in _outcome(SuiteSubject(suite, 1, (other,)), number).detail


def test_approval_of_algorithms_that_the_kit_does_not_know_is_not_exercised() -> None:
    hybrid = SuiteSubject(replace(HYBRID, wire_name="other", aead=Gcm(), approved=True), 1)
    outcome = _outcome(hybrid, "E4-SEC-105")
    assert outcome.verdict is Verdict.NOT_EXERCISED
    assert outcome.is_in_the_way


@pytest.mark.parametrize("what", ["x", "y", "z"])
def test_a_smaller_sample_is_the_beginning_of_a_larger_one(what: str) -> None:
    examined = SuiteSubject(TOY, 1)
    small, large = (examined.sample(range(1000), cost_s, what) for cost_s in (0.0033, 0.00022))
    assert 50 < len(small) < 100 < 800 < len(large) < 1000
    assert large[: len(small)] == small
    assert len(set(large)) == len(large)


@pytest.mark.parametrize("length", [0, 1, 15, 17, 300, 5000, 65_536])
def test_bits_are_flipped_at_both_edges_and_in_every_stretch_whatever_that_costs(length: int) -> None:
    step = max(256, -(-length // 32))
    at = {bit // 8 for bit in SuiteSubject(TOY, 1).bits(length, 1e9, "x")}
    assert at <= set(range(length))
    assert not length or {0, length - 1} <= at
    assert {place // step for place in at} == set(range(-(-length // step)))


@pytest.mark.parametrize(
    ("kind", "number", "seen"),
    [
        (toys.HoldsBytes, "E4-SEC-101", "a key of the AEAD, a HoldsBytes: its attribute _copy shows the secret"),
        (toys.ShowsKey, "E4-SEC-101", "a key of the AEAD, a ShowsKey: its text shows the secret"),
        (
            toys.TruncatedTag,
            "E4-AEAD-006",
            "a ciphertext of 16 bytes, only its first 4 bytes, is accepted and gives no bytes",
        ),
        (toys.DiesOnShortInput, "E4-AEAD-013", "refusals differ: AuthenticationFailed"),
    ],
)
def test_the_detail_tells_where_to_look(kind: type[toys.ToyKey], number: str, seen: str) -> None:
    assert seen in _outcome(SuiteSubject(toy(kind), 1), number).detail


@pytest.mark.parametrize(
    ("kind", "number"), [(toys.TruncatedTag, "E4-AEAD-013"), (toys.DiesOnShortInput, "E4-AEAD-014")]
)
def test_a_fault_is_not_told_once_more_where_something_else_is_asked(kind: type[toys.ToyKey], number: str) -> None:
    assert _outcome(SuiteSubject(toy(kind), 1), number).verdict is Verdict.PASSED


def test_a_report_names_the_versions_of_what_computes() -> None:
    about = subject("sk", 1).about
    assert about["distribution"].startswith("e4core ")
    assert about["openssl"] == backend.openssl_version_text()
    assert about["cryptography"][0].isdigit()
