# SPDX-License-Identifier: Apache-2.0
"""One run of the kit, from the name of a subject to the report of it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from e4conformance.kinds import Kind
from e4conformance.kit import Described, Outcome, Subject, chosen, examine
from e4conformance.report import Report
from e4conformance.requirement import Requirement


class Watcher(Protocol):
    def __call__(self, done: Sequence[Outcome], of: int, next_one: Requirement[Any], /) -> None:
        """Called before each check. Args: of: how many there will be."""


def _unwatched(_done: Sequence[Outcome], _of: int, _next_one: Requirement[Any], /) -> None: ...


def examination(
    kind: Kind, target: str, watcher: Watcher, *, seed: int, hooks: str = "", only: Collection[str] = ()
) -> Report:
    """Of what ``target`` names. Raises: what `Kind.subject` does. InvalidInput: an id that there is none of in ``only``."""
    chosen(kind.book, only)  # before a subject is asked for
    with kind.subject(target, seed, hooks) as subject:
        return examined(kind, target, subject, seed, watcher, only)


def examined(
    kind: Kind, name: str, subject: Subject, seed: int, watcher: Watcher = _unwatched, only: Collection[str] = ()
) -> Report:
    """Of a subject that is there. Args: name: by which the report calls it."""
    book, started = kind.book, now()
    requirements = chosen(book, only)
    outcomes: list[Outcome] = []
    for requirement in requirements:
        watcher(outcomes, len(requirements), requirement)
        outcomes.append(examine(subject, requirement))
    about = dict(subject.about) if isinstance(subject, Described) else {}
    declared, is_complete = tuple(sorted(subject.declared)), len(requirements) == len(book)
    return Report(kind.name, name, about, declared, seed, started, tuple(outcomes), is_complete)


def fresh_seed() -> int:
    """For runs that name none: what is sampled differs from run to run, and the report says how to have it again."""
    return secrets.randbelow(1 << 32)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
