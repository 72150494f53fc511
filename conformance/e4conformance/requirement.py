# SPDX-License-Identifier: Apache-2.0
"""What the kit asks of a subject: a list of requirements, each with an id for good, its source, and the check that proves it.

An id is never given to something else, and a requirement that is dropped takes its id with it: published reports name them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from e4core.errors import InvalidInput

S = TypeVar("S")
Check = Callable[[S], str | None]
_ID = re.compile(r"E4-[A-Z]{2,5}-\d{3}")

RUNNING = ContextVar("RUNNING", default="")
"""The id of the requirement that is checked."""


class Level(Enum):
    """RFC 2119: without a `MUST` a subject does not conform; a `SHOULD` that is not met is told, and has a price."""

    MUST = "must"
    SHOULD = "should"


class Unmet(Exception):
    """The subject does not do what is required; the text says what was seen."""


class NotExercised(Exception):
    """The check could not be made; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Requirement(Generic[S]):
    """One thing that holds for every right subject ``S``.

    ``says`` is a sentence of what holds, ``source`` where that stands, ``advice`` one line on what to do where it does not.
    ``needs`` is the capability of which alone it speaks; None: it speaks of all subjects.
    ``check`` returns if it is met: None, or a note on what of it could not be tried with this subject. Raises: Unmet,
    NotExercised; whatever else it raises is the subject's fault too.
    """

    id: str
    level: Level
    says: str
    source: str
    advice: str
    needs: str | None
    check: Check[S]


class Book(Generic[S]):
    """All requirements of one kind of subject, in the order in which they are checked."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._all: dict[str, Requirement[S]] = {}

    def must(
        self, number: str, says: str, *, source: str, advice: str, needs: str | None = None
    ) -> Callable[[Check[S]], Check[S]]:
        """The check that follows proves this. Raises: ValueError: an id that is taken, or is none."""
        return self._adding(number, Level.MUST, says, source, advice, needs)

    def should(
        self, number: str, says: str, *, source: str, advice: str, needs: str | None = None
    ) -> Callable[[Check[S]], Check[S]]:
        """As `must`."""
        return self._adding(number, Level.SHOULD, says, source, advice, needs)

    def _adding(
        self, number: str, level: Level, says: str, source: str, advice: str, needs: str | None
    ) -> Callable[[Check[S]], Check[S]]:
        def add(check: Check[S]) -> Check[S]:
            if not _ID.fullmatch(number) or number in self._all:
                raise ValueError(f"{number} is no id of a requirement, or is taken")
            self._all[number] = Requirement(number, level, says, source, advice, needs, check)
            return check

        return add

    def __iter__(self) -> Iterator[Requirement[S]]:
        return iter(self._all.values())

    def __getitem__(self, number: str) -> Requirement[S]:
        return self._all[number]

    def __len__(self) -> int:
        return len(self._all)


def require(condition: bool, seen: str) -> None:
    """Raises: Unmet: with what was ``seen``, unless ``condition`` holds."""
    if not condition:
        raise Unmet(seen)


def require_reasons(lacks: Mapping[str, str], capabilities: Collection[str]) -> None:
    """Raises: InvalidInput: something in ``lacks`` is none of ``capabilities``, or no reason is given."""
    if unknown := sorted(set(lacks) - set(capabilities)):
        raise InvalidInput(f"no capabilities: {', '.join(unknown)}; there are: {', '.join(capabilities)}")
    if bare := sorted(name for name, reason in lacks.items() if not str(reason or "").strip()):
        raise InvalidInput(f"lacks gives no reason for {', '.join(bare)}: readers of the report want to know why")


def text_of(error: BaseException) -> str:
    """What ``error`` says. Foreign code: who fails may fail to say why, too."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as another:
        return f"it cannot say what is wrong: {type(another).__name__}"
