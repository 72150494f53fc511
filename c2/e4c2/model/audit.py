# SPDX-License-Identifier: Apache-2.0
"""The audit log: its records, where it begins and ends, and what was signed of it."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, NAME, TIME, grant, metadata

HASH = columns.Bytes(32)

audit_record = sa.Table(
    "audit_record",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time", TIME, nullable=False, index=True),
    sa.Column("replica", ID, nullable=False),
    sa.Column("principal", NAME, nullable=False),
    sa.Column("source", columns.Text(64), nullable=False),
    sa.Column("request", columns.Text(64), nullable=False),
    sa.Column("action", columns.Text(64), nullable=False),
    sa.Column("objects", columns.Text(8000), nullable=False),
    sa.Column("outcome", columns.Text(64), nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("digest", columns.Bytes(36), nullable=False),
    sa.Column("mac", columns.Bytes(36), nullable=False),
)
"""``objects``: a JSON list in ASCII. ``digest``: of the request, keyed; empty: there was none. ``mac``: see `e4c2.audit.chain`."""

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("hash", HASH, nullable=False),
    sa.Column("base_number", sa.BigInteger, nullable=False),
    sa.Column("base_hash", HASH, nullable=False),
    *grant(),
)
"""One row: the last record, and the one before the first that is kept; each with the hash of all up to it."""

audit_key = sa.Table(
    "audit_key",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("algorithm", columns.Text(16), nullable=False),
    sa.Column("private", columns.Blob(256), nullable=False),
    sa.Column("public", columns.Blob(256), nullable=False),
    *grant(),
)
"""One row: the key pair that signs checkpoints."""

audit_checkpoint = sa.Table(
    "audit_checkpoint",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("time", TIME, nullable=False),
    sa.Column("hash", HASH, nullable=False),
    sa.Column("signature", columns.Blob(256), nullable=False),
)
