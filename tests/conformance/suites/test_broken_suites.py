# SPDX-License-Identifier: Apache-2.0
"""Negative controls: of each broken suite the kit must say what is wrong, by the right requirement."""

from __future__ import annotations

import pytest

from e4conformance.kit import Verdict, conforms, run, summary
from e4conformance.suites import SUITES, SuiteSubject
from e4conformance.suites.subject import THIN
from e4core.suite import Suite
from tests.conformance.suites import toys
from tests.conformance.suites.broken import BROKEN, CONTROLS, DIFFERENT, PAIRED, TOY, toy


@pytest.mark.parametrize(("name", "number"), CONTROLS)
def test_what_is_wrong_fails_the_requirement_that_names_it(name: str, number: str) -> None:
    # those of other processes are asked of the right suite of this name
    subject = SuiteSubject(BROKEN[name][0], seed=1, installed=number == "E4-ID-012")
    (outcome,) = run(subject, SUITES, only={number})
    assert outcome.verdict is Verdict.FAILED, outcome.detail
    assert outcome.detail
    assert outcome.requirement.advice


@pytest.mark.parametrize("name", DIFFERENT)
def test_two_suites_that_should_be_alike_are_found_to_differ(name: str) -> None:
    suite, other, number = DIFFERENT[name]
    (outcome,) = run(SuiteSubject(suite, 1, (other,)), SUITES, only={number})
    assert outcome.verdict is Verdict.FAILED, outcome.detail


@pytest.mark.parametrize("suite", [TOY, PAIRED], ids=lambda suite: suite.name)
def test_what_they_are_made_of_is_right(suite: Suite) -> None:
    outcomes = list(run(SuiteSubject(suite, seed=1, effort=THIN), SUITES))
    assert conforms(outcomes), [each for each in outcomes if each.is_in_the_way]


def test_the_run_goes_on_to_the_end_whatever_fails() -> None:
    outcomes = list(run(SuiteSubject(toy(toys.VerifiesNothing), seed=1, effort=THIN), SUITES))
    assert len(outcomes) == len(SUITES)
    assert not conforms(outcomes)
    assert "failed" in summary(outcomes)


def test_nearly_every_requirement_has_a_control() -> None:
    controlled = {number for _, number in CONTROLS} | {number for _, _, number in DIFFERENT.values()}
    left = {"E4-MSG-110"}  # what the core alone can do wrong
    assert {each.id for each in SUITES} - controlled == left
