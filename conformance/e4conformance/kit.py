# SPDX-License-Identifier: Apache-2.0
"""Runs the requirements of a book on a subject, and tells of each how it ended."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar

from e4conformance.requirement import Book, Level, NotExercised, Requirement, Unmet


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    """A `Level.SHOULD` that is not met, or what works though the subject does not declare it."""
    NOT_EXERCISED = "not exercised"
    NOT_APPLICABLE = "not applicable"
    """The subject does not declare the capability, and does not have it."""


class Subject(Protocol):
    """What is examined."""

    @property
    def declared(self) -> Collection[str]:
        """The capabilities that it says it has."""
        ...


S = TypeVar("S", bound=Subject)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended; ``detail`` says what was seen, unless it passed."""

    requirement: Requirement[object]
    verdict: Verdict
    detail: str
    seconds: float

    @property
    def is_in_the_way(self) -> bool:
        """Whether the subject does not conform for it: a must that was not exercised is no pass."""
        must = self.requirement.level is Level.MUST
        return self.verdict is Verdict.FAILED or (must and self.verdict is Verdict.NOT_EXERCISED)


def run(subject: S, book: Book[S], only: Collection[str] = ()) -> Iterator[Outcome]:
    """One outcome after the other. Args: only: ids to confine it to."""
    for requirement in book:
        if not only or requirement.id in only:
            begun = time.perf_counter()
            verdict, detail = _judge(subject, requirement)
            yield Outcome(requirement, verdict, detail, time.perf_counter() - begun)  # type: ignore[arg-type]


def conforms(outcomes: Iterable[Outcome]) -> bool:
    """Whether nothing is in the way."""
    return not any(outcome.is_in_the_way for outcome in outcomes)


def summary(outcomes: Iterable[Outcome]) -> str:
    """``41 passed, 1 failed, 2 not exercised``: what there is, in the order of `Verdict`."""
    count = Counter(outcome.verdict for outcome in outcomes)
    return ", ".join(f"{count[verdict]} {verdict.value}" for verdict in Verdict if count[verdict]) or "nothing checked"


def _judge(subject: S, requirement: Requirement[S]) -> tuple[Verdict, str]:
    is_declared = requirement.needs is None or requirement.needs in subject.declared
    verdict, detail = _tried(subject, requirement)
    if not is_declared:
        if verdict is Verdict.PASSED:
            return Verdict.WARNED, f"works, but the capability {requirement.needs!r} is not declared"
        return Verdict.NOT_APPLICABLE, f"the capability {requirement.needs!r} is not declared"
    if verdict is Verdict.FAILED and requirement.level is Level.SHOULD:
        return Verdict.WARNED, detail
    return verdict, detail


def _tried(subject: S, requirement: Requirement[S]) -> tuple[Verdict, str]:
    """The border to foreign code: whatever that raises is a failed check, never the end of the run."""
    try:
        requirement.check(subject)
    except NotExercised as error:
        return Verdict.NOT_EXERCISED, str(error)
    except Unmet as error:
        return Verdict.FAILED, str(error)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        return Verdict.FAILED, f"raised {type(error).__name__}: {error} ({place})"
    return Verdict.PASSED, ""
