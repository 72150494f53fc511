# SPDX-License-Identifier: Apache-2.0
"""One transaction, on any database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from e4core.errors import StorageError

T = TypeVar("T")

_FULL = frozenset({"53100", 1021, 1114, sqlite3.SQLITE_FULL})
"""``disk_full`` of PostgreSQL, ``ER_DISK_FULL`` and ``ER_RECORD_FILE_FULL`` of MariaDB."""


def transact(engine: sa.Engine, call: Callable[[sa.Connection], T]) -> T:
    """Run ``call``; all that it changed is committed, or nothing. Raises: StorageError: the database refused, or is away."""
    with _connected(engine) as db:
        try:
            with db.begin():
                return call(db)
        except sa.exc.DBAPIError as error:
            raise StorageError(f"the database refused: {error.orig}") from error
        except OSError as error:
            raise StorageError(f"the connection to the database was lost: {error}") from error


def is_full(refusal: StorageError) -> bool:
    """Whether the database had no room for a change; others, for which there is room where they are, it takes still."""
    orig = getattr(refusal.__cause__, "orig", None)
    codes = (getattr(orig, "sqlstate", None), getattr(orig, "sqlite_errorcode", None), *getattr(orig, "args", ())[:1])
    return not _FULL.isdisjoint(codes)


def _connected(engine: sa.Engine) -> sa.Connection:
    try:
        return engine.connect()
    except sa.exc.DBAPIError as error:
        raise StorageError(f"the database refused: {error.orig}") from error
    # The border to the drivers, which raise what they like while a server is away, begins or ends: OSError, classes of their own.
    except Exception as error:
        raise StorageError(f"the database cannot be reached: {error or type(error).__name__}") from error
