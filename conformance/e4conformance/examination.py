# SPDX-License-Identifier: Apache-2.0
"""One run of the kit, from the name of a subject to the report of it."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Protocol

from e4conformance import border
from e4conformance.border import Subject
from e4conformance.deadline import LIMIT_S
from e4conformance.kinds import Kind
from e4conformance.kit import Outcome, Verdict, chosen, examine
from e4conformance.report import Report
from e4conformance.requirement import Requirement


class Watcher(Protocol):
    def __call__(self, so_far: Report, of: int, next_one: Requirement[Any], /) -> None:
        """Called before each check. Args: so_far: what it would come to if that ended the process.  of: how many there will be."""


def _unwatched(_so_far: Report, _of: int, _next_one: Requirement[Any], /) -> None: ...


def examination(
    kind: Kind,
    target: str,
    watcher: Watcher,
    *,
    seed: int,
    hooks: str = "",
    only: Collection[str] = (),
    limit_s: float = LIMIT_S,
) -> Report:
    """Of what ``target`` names. Raises: what `Kind.subject` does. InvalidInput: an id that there is none of in ``only``."""
    chosen(kind.book, only)  # before a subject is asked for
    with kind.subject(target, seed, hooks) as subject:
        return examined(kind, target, subject, seed, watcher, only, limit_s)


def examined(
    kind: Kind,
    name: str,
    subject: Subject,
    seed: int,
    watcher: Watcher = _unwatched,
    only: Collection[str] = (),
    limit_s: float = LIMIT_S,
) -> Report:
    """Of a subject that is there. Args: name: by which the report calls it.  limit_s: for each check.

    What comes after a check that did not end is not exercised: who hangs once may hang each time, and spoil the rest.
    Raises: E4Error: it does not tell what it can do.
    """
    book, started = kind.book, now()
    declared = border.declared_by(subject)  # first: who hangs is waited for once
    name, about = border.name_of(subject, name), border.about(subject)
    requirements = chosen(book, only)
    outcomes: list[Outcome] = []

    def report(*more: Outcome) -> Report:
        found, is_complete = (*outcomes, *more), len(requirements) == len(book)
        return Report(kind.name, name, about, tuple(sorted(declared)), seed, started, found, is_complete and not more)

    for requirement in requirements:
        if outcomes and outcomes[-1].seconds >= limit_s:
            outcomes += _left_out(requirements[len(outcomes) :], outcomes[-1].requirement.id)
            break
        watcher(report(_unfinished(requirement)), len(requirements), requirement)
        outcomes.append(examine(subject, requirement, limit_s))
    return report()


def _left_out(requirements: Collection[Requirement[Any]], because_of: str) -> list[Outcome]:
    seen, advice = f"the run ended with {because_of}, which did not end", f"Mend {because_of} first, then ask again."
    return [Outcome(each, Verdict.NOT_EXERCISED, seen, advice, 0.0) for each in requirements]


def _unfinished(requirement: Requirement[Any]) -> Outcome:
    seen = "the process ended while this was checked: it crashed, was killed, or was given up"
    return Outcome(requirement, Verdict.FAILED, seen, requirement.advice, 0.0)


def fresh_seed() -> int:
    """For runs that name none: what is sampled differs from run to run, and the report says how to have it again."""
    return secrets.randbelow(1 << 32)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
