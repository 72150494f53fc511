# SPDX-License-Identifier: Apache-2.0
"""What a process remembers of its database from one transaction to the next: which rows that grant something are valid now.

A MAC tells that the C2 wrote a row once, not that the row still stands: one that was revoked, put back, used and taken out again
shows nothing afterwards. So 8 bytes of the MAC of every such row are kept in memory, where nobody reaches them who writes to the
database: 75 to 150 B a row, 37 MB for 500,000. `e4c2.ledger` fills the roll and asks it; the store takes back what a transaction
did to it that fails.

One transaction writes at a time (`e4c2.store`), and what other processes did before it learns in its turn, from their changes of
the ledger. Readers look from other threads, and may see rows of a little while ago: what they miss here is asked again by the
writer, who alone sees the present.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa

from e4kms.records import VERSION_LEN

PART_LEN = 8
_PART = slice(VERSION_LEN, VERSION_LEN + PART_LEN)
_ROLL, _IS_PRESENT = "e4_roll", "e4_is_present"


class State(NamedTuple):
    """Of the ledger: how often it was changed, and the sum."""

    number: int
    total: int


class Roll:
    """Of one database. ``failure``: why the last look at the whole of it was an alarm; None: it was none."""

    def __init__(self, is_shared: bool = False) -> None:
        """Args: is_shared: other processes write to the database too."""
        self.is_shared = is_shared
        self.is_current = False
        """Whether this transaction has learned what other processes did before it."""
        self.state: State | None = None
        """Of the ledger, as this process left it or found it right; None: not yet."""
        self.failure: str | None = None
        self._valid: set[bytes] = set()
        self._undo: list[Callable[[], object]] = []
        self._savepoints: list[int] = []

    def options(self, is_present: bool) -> dict[str, Any]:
        """Execution options of an engine whose connections are to find this. Args: is_present: they see the present."""
        return {_ROLL: self, _IS_PRESENT: is_present}

    def holds(self, macs: Iterable[bytes]) -> bool:
        """Whether all of these are valid."""
        return self._valid.issuperset(map(part, macs))

    def fill(self, state: State, parts: set[bytes]) -> None:
        """The MACs of these parts are valid, and no others, as somebody has made sure."""
        self._valid = parts
        self.state, self.failure = state, None

    def shift(self, state: State, added: Collection[bytes], removed: Collection[bytes]) -> None:
        """These are valid from now on, and those no more."""
        former, new, old = self.state, set(map(part, added)), set(map(part, removed))

        def undo() -> None:
            self._valid.difference_update(new)
            self._valid.update(old)
            self.state = former

        self.if_undone(undo)
        self._valid.difference_update(old)
        self._valid.update(new)
        self.state = state

    def learn(self, state: State, added: Iterable[bytes], removed: Iterable[bytes]) -> None:
        """Another process has made the MACs of these parts valid, and those no more, whatever comes of this transaction."""
        self._valid.difference_update(removed)
        self._valid.update(added)
        self.state = state

    def if_undone(self, undo: Callable[[], object]) -> None:
        """What takes back a change in memory, should the transaction that goes with it fail."""
        self._undo.append(undo)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Around a transaction that writes."""
        self._undo.clear()
        self._savepoints.clear()
        self.is_current = not self.is_shared
        try:
            yield
        except BaseException:
            self._back(0)
            raise

    def follow(self, engine: sa.Engine) -> None:
        """Take back what the transactions of ``engine`` take back to a savepoint."""

        @sa.event.listens_for(engine, "savepoint")
        def _savepoint(*_of: object) -> None:  # which has no name yet; they are nested, one in the other
            self._savepoints.append(len(self._undo))

        @sa.event.listens_for(engine, "release_savepoint")
        def _release(*_of: object) -> None:
            self._savepoints.pop()

        @sa.event.listens_for(engine, "rollback_savepoint")
        def _rollback(*_of: object) -> None:
            self._back(self._savepoints.pop())

    def _back(self, mark: int) -> None:
        while len(self._undo) > mark:
            self._undo.pop()()


def part(mac: bytes) -> bytes:
    """What is kept of a MAC.

    Nobody chooses it: of 10**9 MACs that once were valid, one is taken for one of 500,000 that are with a probability of 1/37,000.
    """
    return mac[_PART]


def roll_of(db: sa.Connection) -> Roll:
    """That of the database."""
    roll: Roll = db.get_execution_options()[_ROLL]
    return roll


def is_present(db: sa.Connection) -> bool:
    """Whether this connection sees the present; else a state of perhaps a moment ago."""
    return bool(db.get_execution_options()[_IS_PRESENT])
