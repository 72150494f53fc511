# SPDX-License-Identifier: Apache-2.0
"""SQLite: one writer thread, readers beside it.

In WAL mode with ``synchronous=FULL``: with less, a power cut forgets a commit whose command is already out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from e4c2.roll import Roll
from e4c2.store.schema import Prepare
from e4c2.store.transaction import transact
from e4core import files
from e4core.errors import Conflict, StorageError

T = TypeVar("T")

READERS = 2
_CACHE_KIB = 16_384
"""Of each connection at most; with the 2 MB that SQLite takes by itself a batch of rows reads its pages twice."""
_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",
    f"cache_size=-{_CACHE_KIB}",
)
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class NoText:
    """What somebody stored as text that is no UTF-8: neither text nor bytes, so that no check takes it for either."""

    raw: bytes


class Sqlite:
    """A database file, of this process alone."""

    def __init__(self, path: Path, roll: Roll, prepare: Prepare) -> None:
        """Raises: StorageError."""
        path = Path(os.path.realpath(path))
        _require_private(path)
        self._roll = roll
        try:
            self._writer = _engine(path, "BEGIN IMMEDIATE", roll.options(is_present=True))
            self._reader = _engine(path, "BEGIN", roll.options(is_present=False))
            roll.follow(self._writer)
            with self._writer.begin() as db:
                prepare(db, str(path))
        except sa.exc.DBAPIError as error:
            raise StorageError(f"{path} cannot be used as a database: {error.orig}") from None
        self._write_thread = ThreadPoolExecutor(1, "e4-writer")
        self._read_threads = ThreadPoolExecutor(READERS, "e4-reader")

    def write(self, call: Callable[[sa.Connection], T]) -> Future[T]:
        return self._write_thread.submit(self._written, call)

    def read(self, call: Callable[[sa.Connection], T]) -> Future[T]:
        return self._read_threads.submit(transact, self._reader, call)

    write_own = write
    """There are no other processes."""
    overdue_s = 0.0

    def close(self) -> None:
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self._reader.dispose()
        self._writer.dispose()

    def _written(self, call: Callable[[sa.Connection], T]) -> T:
        with self._roll.transaction():
            return transact(self._writer, call)


class _AsTheyAre(sa.LargeBinary):
    """The driver takes bytes; a memoryview of each, which SQLAlchemy makes for others, costs more than to bind it."""

    def bind_processor(self, dialect: sa.Dialect) -> None:
        return None


def _engine(path: Path, begin: str, options: dict[str, Any]) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        hide_parameters=True,
        execution_options=options,
        connect_args={"check_same_thread": False, "timeout": 30},
    )

    engine.dialect.colspecs = {**engine.dialect.colspecs, sa.LargeBinary: _AsTheyAre}

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late for a consistent read
        connection.text_factory = _text
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _text(stored: bytes) -> str | NoText:
    # else one such cell fails the whole statement, and with it all other rows
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return NoText(stored)


def _require_private(path: Path) -> None:
    """The files that SQLite puts beside a new database get the mode of that."""
    with suppress(Conflict):
        files.create(path, b"")
    for name in (path.name, *(path.name + suffix for suffix in _BESIDE)):
        files.check(path.parent / name)
