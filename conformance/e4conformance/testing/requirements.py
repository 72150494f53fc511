# SPDX-License-Identifier: Apache-2.0
"""A requirement as a test of pytest: what it is run on, and what its verdict means there."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from e4conformance import border
from e4conformance.border import Subject
from e4conformance.examination import fresh_seed
from e4conformance.kinds import KINDS
from e4conformance.kit import Outcome, Verdict, examine
from e4conformance.requirement import Requirement
from e4core.errors import E4Error


class RequirementWarning(UserWarning):
    """Something that should hold does not, or works without being declared."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A subject and how it was come by; ``about`` as in a report."""

    kind: str
    target: str
    seed: int
    subject: Subject
    about: Mapping[str, str]


OUTCOME = pytest.StashKey[tuple[Examined, Outcome]]()
"""Of a test that examined a requirement."""


def all_of(kind: str) -> Callable[..., None]:
    """The one test of a kind, which `parametrize` makes one of for each requirement."""

    def test(request: pytest.FixtureRequest, e4_subject: Examined, e4_requirement: Requirement[Any]) -> None:
        check(request.node, e4_subject, e4_requirement)

    test.e4_kind = kind  # type: ignore[attr-defined]
    return test


def parametrize(metafunc: pytest.Metafunc, kind: str) -> None:
    """A test for each requirement of each subject that the settings name."""
    name = f"e4_{kind}"
    targets = metafunc.config.getoption(name) or metafunc.config.getini(name)
    if not targets:
        pytest.fail(
            f"say which {kind}: --e4-{kind} on the command line, or {name} in the settings of pytest", pytrace=False
        )
    # two steps, as tests are put in an order by subject, each of which then is opened once
    ids = targets if len(targets) > 1 else [pytest.HIDDEN_PARAM]
    metafunc.parametrize("e4_subject", [(kind, target) for target in targets], indirect=True, ids=ids)
    requirements = list(KINDS[kind].book)
    metafunc.parametrize("e4_requirement", requirements, ids=[each.id for each in requirements])


@pytest.fixture(scope="module")
def e4_subject(request: pytest.FixtureRequest) -> Iterator[Examined]:
    kind, target = request.param
    hooks, seed = _hooks(request.config, kind), _seed(request.config)
    try:
        with KINDS[kind].subject(target, seed, hooks) as subject:
            border.declared_by(subject)  # one error for all tests, if it does not tell
            yield Examined(kind, border.name_of(subject, target), seed, subject, border.about(subject))
    except E4Error as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def check(node: pytest.Item, examined: Examined, requirement: Requirement[Any]) -> None:
    """The whole of such a test."""
    outcome = examine(examined.subject, requirement)
    node.stash[OUTCOME] = examined, outcome
    ends(examined, outcome)


def ends(examined: Examined, outcome: Outcome) -> None:
    """Fails, warns or skips as the verdict says."""
    requirement = outcome.requirement
    text = f"{requirement.id} {outcome.verdict.value}: {outcome.detail}"
    if outcome.is_in_the_way:
        again = f"again: --e4-seed {examined.seed}"
        lines = (text, requirement.says, f"do: {outcome.advice}", f"see: {requirement.source}", again)
        pytest.fail("\n".join(lines), pytrace=False)
    if outcome.verdict is Verdict.WARNED:
        warnings.warn(f"{text}; do: {outcome.advice}", RequirementWarning, stacklevel=2)
    elif outcome.verdict is not Verdict.PASSED:
        pytest.skip(text)


def _hooks(config: pytest.Config, kind: str) -> str:
    if not KINDS[kind].hooks_name:
        return ""
    name = f"e4_{kind}_hooks"
    return str(config.getoption(name) or config.getini(name))


def _seed(config: pytest.Config) -> int:
    """One for the whole run, also where the processes of pytest-xdist share it."""
    if (given := config.getoption("e4_seed")) is not None:
        return int(given)
    if workerinput := getattr(config, "workerinput", None):
        return int.from_bytes(hashlib.sha256(workerinput["testrunuid"].encode()).digest()[:4])
    return _own_seed()


@cache
def _own_seed() -> int:
    return fresh_seed()
