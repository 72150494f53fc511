# SPDX-License-Identifier: Apache-2.0
"""One run of the kit, from the name of a subject to the report of it."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from e4conformance.kinds import Kind
from e4conformance.kit import Described, Outcome, chosen, examine
from e4conformance.report import Report
from e4conformance.requirement import Requirement


class Watcher(Protocol):
    def __call__(self, done: Sequence[Outcome], of: int, next_one: Requirement[Any], /) -> None:
        """Called before each check. Args: of: how many there will be."""


def examination(
    kind: Kind, target: str, watcher: Watcher, *, seed: int, hooks: str = "", only: Collection[str] = ()
) -> Report:
    """Raises: what `Kind.subject` does. InvalidInput: an id that there is none of in ``only``."""
    book = kind.book
    requirements = chosen(book, only)
    started = now()
    outcomes: list[Outcome] = []
    with kind.subject(target, seed, hooks) as subject:
        for requirement in requirements:
            watcher(outcomes, len(requirements), requirement)
            outcomes.append(examine(subject, requirement))
        about = dict(subject.about) if isinstance(subject, Described) else {}
        declared, is_complete = tuple(sorted(subject.declared)), len(requirements) == len(book)
        return Report(kind.name, target, about, declared, seed, started, tuple(outcomes), is_complete)


def fresh_seed() -> int:
    """For runs that name none: what is sampled differs from run to run, and the report says how to have it again."""
    return secrets.randbelow(1 << 32)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
