# SPDX-License-Identifier: Apache-2.0
"""Backups that were made, and whether this database was made from one."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, TIME, grant, metadata

backup = sa.Table(
    "backup",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("created", TIME, nullable=False, index=True),
    sa.Column("row_count", sa.BigInteger, nullable=False),
)

recovery = sa.Table(
    "recovery",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("backup", ID),
    sa.Column("made", TIME),
    sa.Column("since", TIME),
    *grant(),
)
"""One row. ``backup``, ``made``: from which it was restored, and when that was made. ``since``: when it was restored."""

restoring = sa.Table(
    "restoring",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("backup", ID, nullable=False),
    sa.Column("begun", TIME, nullable=False),
)
"""A row, as long as a restore is not at its end; nothing else is in the database then."""
