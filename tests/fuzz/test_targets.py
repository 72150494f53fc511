# SPDX-License-Identifier: Apache-2.0
"""Every target of fuzzing stands its seeds, and whatever once went wrong in it; all without atheris."""

from __future__ import annotations

import pytest

from e4core.errors import InvalidInput, Tampered
from fuzz import catalogue
from fuzz.findings import fault, shortest
from fuzz.target import accepted, must


@pytest.mark.parametrize("name", catalogue.MODULES)
def test_nothing_known_goes_wrong(name: str) -> None:
    target = catalogue.load(name)
    inputs = {f"seed {number}": data for number, data in enumerate(target.seeds())} | dict(catalogue.regressions(name))
    with target.opened() as check:
        wrong = {what: found for what, data in inputs.items() if (found := fault(check, data))}
    assert inputs
    assert wrong == {}


def test_each_regression_belongs_to_a_target() -> None:
    assert {folder.name for folder in catalogue.REGRESSIONS.iterdir()} <= set(catalogue.MODULES)


def _fragile(data: bytes) -> None:
    must(b"!" not in data, "an exclamation mark")
    data.decode("ascii")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"quiet", ""),
        (b"loud!", "AssertionError: an exclamation mark"),
        (b"\xff", f"UnicodeDecodeError in {__file__.rpartition('/')[2]}, line {_fragile.__code__.co_firstlineno + 2}"),
    ],
)
def test_a_fault_is_known_by_what_and_where_it_is(data: bytes, what: str) -> None:
    assert fault(_fragile, data) == what


def test_a_finding_is_cut_to_what_it_needs() -> None:
    tried: list[bytes] = []

    def still(data: bytes) -> bool:
        tried.append(data)
        return b"a" in data and b"z" in data

    assert shortest(bytes(range(32, 127)) * 5, still) in (b"az", b"za")
    assert len(tried) < 1000


def test_a_refusal_must_be_one_of_those_that_are_documented_and_say_why() -> None:
    def refuse(error: Exception) -> None:
        raise error

    assert accepted(lambda: refuse(InvalidInput("too short")), InvalidInput) is None
    with pytest.raises(Tampered):
        accepted(lambda: refuse(Tampered()), InvalidInput)
    with pytest.raises(AssertionError, match="says nothing"):
        accepted(lambda: refuse(InvalidInput(" ")), InvalidInput)
