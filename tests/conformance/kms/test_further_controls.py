# SPDX-License-Identifier: Apache-2.0
"""Controls for the requirements that the drivers of `test_negative_controls` meet, with all hooks that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import pytest

from e4conformance import kit
from e4conformance.kms import KMS, KmsHooks, subject
from e4core.errors import KeyNotFound, KmsDenied, KmsError
from e4core.kms import Kms
from tests.conformance.kms import broken_further as further
from tests.conformance.kms.broken import Right
from tests.conformance.kms.broken_further import FURTHER, LOADS, Able, SaysUnavailable

_NUMBERS = count()
HAPPENINGS = {"E4-KERR-011": KeyNotFound, "E4-KERR-012": KeyNotFound, "E4-KERR-013": KmsDenied}
"""Requirement -> what a driver is to raise meanwhile."""


def _happens(error: type[KmsError]) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def happens() -> Iterator[None]:
        further.HAPPENING.append(error)
        try:
            yield
        finally:
            further.HAPPENING.clear()

    return happens


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _outcome(kind: type[Right], number: str, load: Callable[[str], Kms] = further.load) -> kit.Outcome:
    uri = f"broken:{kind.__name__}?seed"
    hooks = KmsHooks(
        key_gone=_happens(KeyNotFound),
        key_disabled=_happens(KeyNotFound),
        denied=_happens(KmsDenied),
        restart=lambda: further.RESTARTS.append("again"),
        second_uri=lambda: f"{uri} other",
        absent_uri=lambda: f"broken:{kind.__name__}?absent {next(_NUMBERS)}",
        share_gone=_nothing,
        wrong_credentials_uri=lambda: f"{uri}&pin=wrong-{next(_NUMBERS)}",
    )
    with subject(uri, hooks, load=load) as examined:
        (outcome,) = kit.run(examined, KMS, [number])
    return outcome


@pytest.mark.parametrize("kind", FURTHER, ids=lambda kind: kind.__name__)
def test_what_is_wrong_is_found(kind: type[Right]) -> None:
    outcome = _outcome(kind, FURTHER[kind])
    assert outcome.verdict is kit.Verdict.FAILED, outcome.detail


@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.__name__)
def test_a_factory_that_is_wrong_is_found(load: Callable[[str], Kms]) -> None:
    outcome = _outcome(Able, LOADS[load], load)
    due = kit.Verdict.WARNED if LOADS[load] == "E4-KERR-002" else kit.Verdict.FAILED
    assert outcome.verdict is due, outcome.detail


@pytest.mark.parametrize("number", HAPPENINGS)
def test_an_error_that_says_nothing_of_what_to_do_is_found(number: str) -> None:
    assert _outcome(SaysUnavailable, number).verdict is kit.Verdict.FAILED


@pytest.mark.parametrize(
    "number", [*sorted({*FURTHER.values(), *LOADS.values(), *HAPPENINGS} - {"E4-KROT-031"}), "E4-KLIF-006"]
)
def test_what_they_are_made_of_is_right(number: str) -> None:
    assert _outcome(Able, number).verdict is kit.Verdict.PASSED
