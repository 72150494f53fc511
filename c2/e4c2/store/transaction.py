# SPDX-License-Identifier: Apache-2.0
"""One transaction, on any database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from e4core.errors import StorageError

T = TypeVar("T")


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


def _connected(engine: sa.Engine) -> sa.Connection:
    try:
        return engine.connect()
    except sa.exc.DBAPIError as error:
        raise StorageError(f"the database refused: {error.orig}") from error
    # The border to the drivers, which raise what they like while a server is away, begins or ends: OSError, classes of their own.
    except Exception as error:
        raise StorageError(f"the database cannot be reached: {error or type(error).__name__}") from error
