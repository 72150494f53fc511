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
from typing import Any, TypeVar

from e4conformance import border
from e4conformance.border import Subject
from e4conformance.deadline import LIMIT_S, OutOfTime, within
from e4conformance.requirement import RUNNING, Book, Level, NotExercised, Requirement, Unmet, text_of
from e4core.errors import InvalidInput

_LONGEST = 2000
"""Characters of a detail: who fails may print without end."""


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    """A `Level.SHOULD` that is not met, or what works though the subject does not declare it."""
    NOT_EXERCISED = "not exercised"
    NOT_APPLICABLE = "not applicable"
    """The subject does not declare the capability, and does not have it."""


S = TypeVar("S", bound=Subject)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended. ``detail``: what was seen, unless it passed; ``advice``: what to do, where there is something.

    ``note``: what of the requirement could not be tried with this subject, where the rest of it passed.
    """

    requirement: Requirement[Any]
    verdict: Verdict
    detail: str
    advice: str
    seconds: float
    note: str = ""

    @property
    def is_in_the_way(self) -> bool:
        """Whether the subject does not conform for it: a must that was not exercised is no pass."""
        must = self.requirement.level is Level.MUST
        return self.verdict is Verdict.FAILED or (must and self.verdict is Verdict.NOT_EXERCISED)


def run(subject: S, book: Book[S], only: Collection[str] = ()) -> Iterator[Outcome]:
    """One outcome after the other. Args: only: ids to confine it to. Raises: InvalidInput: an id that is none of the book."""
    return (examine(subject, requirement) for requirement in chosen(book, only))


def chosen(book: Book[S], only: Collection[str]) -> list[Requirement[S]]:
    """Those of ``only``; all, if that is empty. Raises: InvalidInput: an id that is none of the book."""
    ids = {requirement.id for requirement in book}
    if unknown := sorted(set(only) - ids):
        raise InvalidInput(
            f"no requirement of a {book.kind} is called {unknown[0]}; see: e4 conformance list {book.kind}"
        )
    return [requirement for requirement in book if not only or requirement.id in only]


def examine(subject: S, requirement: Requirement[S], limit_s: float = LIMIT_S) -> Outcome:
    """How the check of one requirement ends; one that takes longer than ``limit_s`` has failed.

    Raises: E4Error: the subject does not tell what it can do.
    """
    begun = time.perf_counter()
    verdict, detail, note = _tried(subject, requirement, limit_s)
    seconds = time.perf_counter() - begun
    detail, note = (border.hidden(subject, text) for text in (detail, note))
    if requirement.needs is not None and requirement.needs not in border.declared_by(subject):
        reason = border.hidden(subject, border.reasons(subject).get(requirement.needs, ""))
        return Outcome(requirement, *_undeclared(verdict, requirement.needs, reason), seconds, note[:_LONGEST])
    if verdict is Verdict.FAILED and requirement.level is Level.SHOULD:
        verdict = Verdict.WARNED
    advice = "" if verdict is Verdict.PASSED else requirement.advice
    return Outcome(requirement, verdict, detail[:_LONGEST], advice, seconds, note)


def conforms(outcomes: Iterable[Outcome]) -> bool:
    """Whether nothing is in the way."""
    return not any(outcome.is_in_the_way for outcome in outcomes)


def summary(outcomes: Iterable[Outcome]) -> str:
    """``41 passed, 1 failed, 2 not exercised``: what there is, in the order of `Verdict`."""
    count = Counter(outcome.verdict for outcome in outcomes)
    return ", ".join(f"{count[verdict]} {verdict.value}" for verdict in Verdict if count[verdict]) or "nothing checked"


def _undeclared(verdict: Verdict, needs: str, reason: str) -> tuple[Verdict, str, str]:
    """Verdict, detail and advice, of what a check found that was only a probe."""
    detail = f"the capability {needs!r} is not declared" + f": {reason}" * bool(reason)
    if verdict is Verdict.PASSED:
        return Verdict.WARNED, f"it holds, but {detail}", f"Declare {needs!r}: what is not declared is not proven."
    return Verdict.NOT_APPLICABLE, detail, ""


def _tried(subject: S, requirement: Requirement[S], limit_s: float) -> tuple[Verdict, str, str]:
    """Verdict, detail, note. The border to foreign code: whatever that raises is a failed check, never the end of the run."""
    running = RUNNING.set(requirement.id)
    try:
        with within(limit_s):
            note = requirement.check(subject)
    except NotExercised as error:
        return Verdict.NOT_EXERCISED, str(error), ""
    except (Unmet, OutOfTime) as error:
        return Verdict.FAILED, str(error), ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of Rust, and SystemExit, are no Exception
        return Verdict.FAILED, f"raised {type(error).__name__}: {text_of(error)} ({_place(error)})", ""
    finally:
        RUNNING.reset(running)
    return Verdict.PASSED, "", (note or "")[:_LONGEST]


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}"
