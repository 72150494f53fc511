# SPDX-License-Identifier: Apache-2.0
"""The clock of a database server: one that all C2 on it can ask, whatever their own say."""

from __future__ import annotations

import sqlalchemy as sa

_MARIADB = "SELECT unix_timestamp()"  # of now(6) it would be made of local time, and an hour wrong once a year
_ASK = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mariadb": _MARIADB,
    "mysql": _MARIADB,
}


def server_time(db: sa.Connection) -> float | None:
    """Unix seconds, perhaps whole ones; None: it is SQLite, which has no clock of its own."""
    statement = _ASK.get(db.dialect.name)
    return float(db.execute(sa.text(statement)).scalar_one()) if statement else None
