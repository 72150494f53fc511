# SPDX-License-Identifier: Apache-2.0
"""Patterns over names: exact ones, and beginnings; both are ranges of an index, so a list is filtered where it is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa

from e4core.errors import InvalidInput

ANY = "*"
LONGEST = 513
"""Of one pattern, in characters: the longest name, and a ``*``."""
MOST = 100
"""Of one grant, for clients and for topics each."""
_LAST = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True)
class Patterns:
    """Some names. ``plant/*`` is all that begin with ``plant/``, ``*`` is all; a pattern without a ``*`` at its end is one name."""

    texts: tuple[str, ...]
    _exact: frozenset[str] = field(init=False, repr=False, compare=False)
    _beginnings: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # a name that ends in * can only be reached by a beginning
        object.__setattr__(self, "_exact", frozenset(text for text in self.texts if not text.endswith(ANY)))
        object.__setattr__(
            self, "_beginnings", tuple(text.removesuffix(ANY) for text in self.texts if text.endswith(ANY))
        )

    @property
    def are_all(self) -> bool:
        return "" in self._beginnings

    def match(self, name: str) -> bool:
        return name.startswith(self._beginnings) or name in self._exact

    def cover(self, others: Iterable[str]) -> bool:
        """Whether these reach whatever ``others`` reach; each of them is to lie within one of these."""
        return all(
            each.removesuffix(ANY).startswith(self._beginnings) if each.endswith(ANY) else self.match(each)
            for each in others
        )

    def beginning(self, prefix: str) -> Patterns:
        """Those of these names that begin with ``prefix``."""
        within = [text for text in self.texts if text.startswith(prefix)]
        return Patterns(tuple(within) if not prefix.startswith(self._beginnings) else (f"{prefix}{ANY}",))

    def where(self, column: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """The same as a condition on a column of names, which sorts by bytes."""
        if self.are_all:
            return sa.true()
        exact = [column.in_(sorted(self._exact))] if self._exact else []
        return sa.or_(sa.false(), *exact, *(_begins(column, each) for each in self._beginnings))


EVERY = Patterns((ANY,))


def check(texts: Iterable[str]) -> tuple[str, ...]:
    """The patterns of a grant, as somebody wrote them. Raises: InvalidInput."""
    listed = tuple(dict.fromkeys(texts))
    if len(listed) > MOST:
        raise InvalidInput(f"a grant has {MOST} patterns at most", kind="bad_pattern")
    for text in listed:
        if not 1 <= len(text) <= LONGEST or "\0" in text or any(ord(c) in _SURROGATES for c in text):
            raise InvalidInput(f"a pattern is 1 to {LONGEST} characters of UTF-8 without NUL", kind="bad_pattern")
    return listed


def _begins(column: sa.ColumnElement[str], beginning: str) -> sa.ColumnElement[bool]:
    end = _following(beginning)
    return column >= beginning if end is None else sa.and_(column >= beginning, column < end)


def _following(beginning: str) -> str | None:
    """The first text that is greater than all that begin so; None: there is none."""
    rest = beginning.rstrip(chr(_LAST))
    if not rest:
        return None
    last = ord(rest[-1]) + 1
    return rest[:-1] + chr(_SURROGATES.stop if last in _SURROGATES else last)
