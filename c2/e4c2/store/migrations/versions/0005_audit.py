# SPDX-License-Identifier: Apache-2.0
"""The audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "audit_record",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", columns.Time, nullable=False),
        sa.Column("replica", columns.Bytes(16), nullable=False),
        sa.Column("principal", columns.Text(512), nullable=False),
        sa.Column("source", columns.Text(64), nullable=False),
        sa.Column("request", columns.Text(64), nullable=False),
        sa.Column("action", columns.Text(64), nullable=False),
        sa.Column("objects", columns.Text(8000), nullable=False),
        sa.Column("outcome", columns.Text(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("digest", columns.Bytes(36), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_record")),
    )
    op.create_index(op.f("ix_audit_record_time"), "audit_record", ["time"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", columns.Bytes(32), nullable=False),
        sa.Column("base_number", sa.BigInteger(), nullable=False),
        sa.Column("base_hash", columns.Bytes(32), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
    op.create_table(
        "audit_key",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("algorithm", columns.Text(16), nullable=False),
        sa.Column("private", columns.Blob(256), nullable=False),
        sa.Column("public", columns.Blob(256), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_key")),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", columns.Time, nullable=False),
        sa.Column("hash", columns.Bytes(32), nullable=False),
        sa.Column("signature", columns.Blob(256), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit_checkpoint")),
    )


def downgrade() -> None:
    op.drop_table("audit_checkpoint")
    op.drop_table("audit_key")
    op.drop_table("audit_head")
    op.drop_index(op.f("ix_audit_record_time"), table_name="audit_record")
    op.drop_table("audit_record")
