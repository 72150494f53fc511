# SPDX-License-Identifier: Apache-2.0
"""Epochs of topics and sequences of commands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "topic_epoch",
        sa.Column("topic", columns.Bytes(16), nullable=False),
        sa.Column("hash", columns.Bytes(32), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_topic_epoch")),
    )
    op.create_table(
        "command_sequence",
        sa.Column("client", columns.Bytes(16), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("confirmed", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.ForeignKeyConstraint(["client"], ["client.id"], name=op.f("fk_command_sequence_client")),
        sa.PrimaryKeyConstraint("client", name=op.f("pk_command_sequence")),
    )
    op.add_column("outbox", sa.Column("sequence", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "sequence")
    op.drop_table("command_sequence")
    op.drop_table("topic_epoch")
