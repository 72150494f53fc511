# SPDX-License-Identifier: Apache-2.0
"""One transaction, on any database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from e4core.errors import StorageError

T = TypeVar("T")


def transact(engine: sa.Engine, call: Callable[[sa.Connection], T]) -> T:
    """Run ``call``; all that it changed is committed, or nothing. Raises: StorageError: the database refused."""
    try:
        with engine.begin() as db:
            return call(db)
    except sa.exc.DBAPIError as error:
        raise StorageError(f"the database refused: {error.orig}") from error
