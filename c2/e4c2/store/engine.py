# SPDX-License-Identifier: Apache-2.0
"""The database: one writer thread, transactions that are all or nothing, schema by migrations.

SQLite runs in WAL mode with ``synchronous=FULL``: with less, a power cut forgets a commit whose command is already out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from e4c2.roll import Roll
from e4core import files
from e4core.errors import Conflict, StorageError, Tampered

P = ParamSpec("P")
T = TypeVar("T")

UseCase = Callable[Concatenate[sa.Connection, P], T]
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


class Store:
    """Runs use cases, each in one transaction of its own."""

    def __init__(self, path: Path) -> None:
        """Open or create the database file (mode 0600) and bring its schema up to date.

        Raises: StorageError: it is not private, no database, of another program or release, or cannot be opened.
        """
        path = Path(os.path.realpath(path))
        _require_private(path)
        self._roll = Roll()
        try:
            self._writer = _engine(path, "BEGIN IMMEDIATE", self._roll.options(is_present=True))
            self._reader = _engine(path, "BEGIN", self._roll.options(is_present=False))
            self._roll.follow(self._writer)
            with self._writer.begin() as db:
                _check_ours(db, path)
                migrate(db)
        except sa.exc.DBAPIError as error:
            raise StorageError(f"{path} cannot be used as a database: {error.orig}") from None
        except CommandError as error:
            raise StorageError(f"{path} was written by another release; use that one: {error}") from None
        self._write_thread = ThreadPoolExecutor(1, "e4-writer")
        self._read_threads = ThreadPoolExecutor(READERS, "e4-reader")

    async def write(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a use case that changes something, after all that were handed in before."""
        return await asyncio.get_running_loop().run_in_executor(
            self._write_thread, self._written, use_case, args, kwargs
        )

    async def read(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a use case that only reads, beside the writer; after it, if there seems to be cause for alarm."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._read_threads, _transact, self._reader, use_case, args, kwargs)
        except Tampered:  # or the past: a reader may see rows whose keys, or which themselves, were replaced meanwhile
            return await self.write(use_case, *args, **kwargs)

    def run(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for programs without an event loop."""
        return self._write_thread.submit(self._written, use_case, args, kwargs).result()

    def close(self) -> None:
        """Finish what was handed in."""
        self._write_thread.shutdown()
        self._read_threads.shutdown()
        self._reader.dispose()
        self._writer.dispose()

    def _written(self, use_case: Callable[..., T], args: Any, kwargs: Any) -> T:
        with self._roll.transaction():
            return _transact(self._writer, use_case, args, kwargs)


def migrate(db: sa.Connection) -> None:
    """Bring the schema of this connection to that of this release."""
    if MigrationContext.configure(db).get_current_revision() == _newest():
        return
    config = _config()
    config.attributes["connection"] = db
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "e4c2:store/migrations")
    return config


@cache
def _newest() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _check_ours(db: sa.Connection, path: Path) -> None:
    tables = sa.inspect(db).get_table_names()
    if tables and "alembic_version" not in tables:
        raise StorageError(f"{path} is the database of another program; choose another file")


def _transact(engine: sa.Engine, use_case: Callable[..., T], args: Any, kwargs: Any) -> T:
    try:
        with engine.begin() as db:
            return use_case(db, *args, **kwargs)
    except sa.exc.DatabaseError as error:
        raise StorageError(f"the database refused: {error.orig}") from error


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
