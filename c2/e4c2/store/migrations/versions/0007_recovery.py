# SPDX-License-Identifier: Apache-2.0
"""Backups, and a C2 that was restored from one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "backup",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backup")),
    )
    op.create_index(op.f("ix_backup_created"), "backup", ["created"], unique=False)
    op.create_table(
        "recovery",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", columns.Text(16), nullable=False),
        sa.Column("backup", columns.Bytes(16), nullable=True),
        sa.Column("made", columns.Time, nullable=True),
        sa.Column("since", columns.Time, nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery")),
    )
    op.create_table(
        "restoring",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("backup", columns.Bytes(16), nullable=False),
        sa.Column("begun", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restoring")),
    )


def downgrade() -> None:
    op.drop_table("restoring")
    op.drop_table("recovery")
    op.drop_index(op.f("ix_backup_created"), table_name="backup")
    op.drop_table("backup")
