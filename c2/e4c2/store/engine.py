# SPDX-License-Identifier: Apache-2.0
"""The database: one transaction writes at a time, each is all or nothing, and the schema follows by migrations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa

from e4c2.roll import Roll
from e4c2.store.address import Address
from e4c2.store.schema import Prepare, prepare
from e4c2.store.sqlite import Sqlite
from e4c2.store.transaction import is_full
from e4c2.telemetry.watches import Watch, unwatched
from e4core.errors import StorageError, Tampered

P = ParamSpec("P")
T = TypeVar("T")

FULL_FOR_S = 30.0
"""For so long after the last change for which there was no room; nothing less than such a change tells."""

UseCase = Callable[Concatenate[sa.Connection, P], T]


class _Database(Protocol):
    """Each call runs in a transaction of its own, in no thread of the caller; a StorageError tells what the database refuses."""

    def write(self, call: Callable[[sa.Connection], T]) -> Future[T]: ...
    def read(self, call: Callable[[sa.Connection], T]) -> Future[T]: ...
    def write_own(self, call: Callable[[sa.Connection], T]) -> Future[T]: ...
    def close(self) -> None: ...
    @property
    def overdue_s(self) -> float: ...


class Store:
    """Runs use cases, each in one transaction of its own."""

    def __init__(self, where: Path | Address, watch: Watch = unwatched, prepare: Prepare = prepare) -> None:
        """Open a database and bring its schema up to date; an SQLite file (mode 0600) is made if it is missing.

        Args: prepare: what else is to become of its schema first.
        Raises: StorageError: it is not private, no database, of another program or release, or cannot be opened.
        """
        self.is_shared = not isinstance(where, Path)
        """Whether other processes may be at work on it too."""
        self._watch = watch
        self._database: _Database = (
            Sqlite(where, Roll(), prepare) if isinstance(where, Path) else _server(where, prepare)
        )
        self._told: list[Callable[[], object]] = []
        self._unable_since: float | None = None
        self._full: tuple[float, StorageError] | None = None

    @property
    def unable_s(self) -> float:
        """For how long nothing that was tried could be written, in seconds."""
        refused_s = time.monotonic() - self._unable_since if self._unable_since else 0.0
        return max(refused_s, self._database.overdue_s)

    @property
    def full(self) -> StorageError | None:
        """What the database refused lately because it is full, though it may have taken other changes since."""
        return self._full[1] if self._full and time.monotonic() - self._full[0] < FULL_FOR_S else None

    def when_written(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` whenever something may have been committed, and what follows from it is to begin at once."""
        self._told.append(wake)

    async def write(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a use case that changes something, after all that were handed in before."""
        with self._watch("write"):
            try:
                answer = await _answer(self._database.write(_call(use_case, *args, **kwargs)))
            except StorageError as error:
                self._refused(error)
                raise
        self._unable_since = None
        for wake in self._told:
            wake()
        return answer

    def _refused(self, error: StorageError) -> None:
        self._unable_since = self._unable_since or time.monotonic()
        if is_full(error):
            self._full = time.monotonic(), error

    async def read(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a use case that only reads, beside the writer; after it, if there seems to be cause for alarm."""
        try:
            with self._watch("read"):
                return await _answer(self._database.read(_call(use_case, *args, **kwargs)))
        except Tampered:  # or the past: a reader may see rows whose keys, or which themselves, were replaced meanwhile
            return await self.write(use_case, *args, **kwargs)

    async def write_own(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Change the one row that only this process changes, or ask about it, at once, however many wait to write or to read."""
        with self._watch("write_own"):
            return await _answer(self._database.write_own(_call(use_case, *args, **kwargs)))

    def run(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for programs without an event loop."""
        return self._database.write(_call(use_case, *args, **kwargs)).result()

    def close(self) -> None:
        """Finish what was handed in."""
        self._database.close()


def _server(address: Address, prepare: Prepare) -> _Database:
    from e4c2.store.servers import Server  # which takes a tenth of a second

    return Server(address, Roll(is_shared=True), prepare)


def _call(use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[sa.Connection], T]:
    # what is logged in the thread of the database is still of the request
    return partial(copy_context().run, partial(_swapped, use_case, args, kwargs))


def _swapped(use_case: Callable[..., T], args: tuple[object, ...], kwargs: dict[str, object], db: sa.Connection) -> T:
    return use_case(db, *args, **kwargs)


async def _answer(future: Future[T]) -> T:
    return await asyncio.wrap_future(future)
