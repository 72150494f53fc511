# SPDX-License-Identifier: Apache-2.0
"""The keys of the database, and what is written down of all rows that grant something."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, TIME, grant, metadata

realm = sa.Table(
    "realm",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("database_id", ID, nullable=False),
    sa.Column("suite", columns.Text(32), nullable=False),
    sa.Column("created", TIME, nullable=False),
)

dek = sa.Table(
    "dek",
    metadata,
    sa.Column("purpose", columns.Text(16), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("check_value", columns.Bytes(16), nullable=False),
    *grant(),
)

dek_wrap = sa.Table(
    "dek_wrap",
    metadata,
    sa.Column("purpose", columns.Text(16), primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uri", columns.Text(1024), nullable=False),
    sa.Column("key_id", columns.Text(512), nullable=False),
    sa.Column("mechanism", columns.Text(64), nullable=False),
    sa.Column("blob", columns.Blob(8192), nullable=False),
    sa.ForeignKeyConstraint(["purpose", "version"], ["dek.purpose", "dek.version"]),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("sum", columns.Blob(128), nullable=False),
)

ledger_change = sa.Table(
    "ledger_change",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("change", columns.Blob(2**24 - 1), nullable=False),
    sa.Column("created", TIME, nullable=False, index=True),
)
"""What other processes on the same database are told of each change of the ledger."""
