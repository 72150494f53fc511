# SPDX-License-Identifier: Apache-2.0
"""Planned rotations, evictions that wait, and how long a change of a topic's key takes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0008"
down_revision = "0007"

_ID = columns.Bytes(16)


def upgrade() -> None:
    op.create_table(
        "topic_next",
        sa.Column("topic", _ID, nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("key", columns.Blob(8192), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_topic_next")),
    )
    op.create_table(
        "planned",
        sa.Column("id", _ID, nullable=False),
        sa.Column("topic", _ID, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("state", columns.Text(16), nullable=False),
        sa.Column("reason", columns.Text(16), nullable=True),
        sa.Column("quorum", sa.Double(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("deadline", columns.Time, nullable=False),
        sa.Column("at_deadline", columns.Text(16), nullable=False),
        sa.Column("operation", _ID, nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("look_at", columns.Time, nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("holding", sa.Integer(), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.Column("activated", columns.Time, nullable=True),
        sa.Column("ended", columns.Time, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_planned")),
    )
    op.create_index(op.f("ix_planned_topic_created"), "planned", ["topic", "created"], unique=False)
    op.create_index(op.f("ix_planned_state"), "planned", ["state"], unique=False)
    op.create_table(
        "topic_change",
        sa.Column("id", columns.Number, nullable=False),
        sa.Column("topic", _ID, nullable=False),
        sa.Column("cause", columns.Text(16), nullable=False),
        sa.Column("requested", columns.Time, nullable=False),
        sa.Column("begun", columns.Time, nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.Column("waits_for", _ID, nullable=True),
        sa.Column("members", sa.Integer(), nullable=True),
        sa.Column("unheard", sa.Integer(), nullable=True),
        sa.Column("ended", columns.Time, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_topic_change")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_topic_change_topic_id"), "topic_change", ["topic", "id"], unique=False)
    op.create_index(op.f("ix_topic_change_ended"), "topic_change", ["ended"], unique=False)
    op.create_table(
        "departed",
        sa.Column("topic", _ID, nullable=False),
        sa.Column("client", _ID, nullable=False),
        sa.Column("name", columns.Text(512), nullable=False),
        sa.Column("requested", columns.Time, nullable=False),
        sa.Column("rekey_by", columns.Time, nullable=True),
        sa.PrimaryKeyConstraint("topic", "client", name=op.f("pk_departed")),
    )
    op.create_index(op.f("ix_departed_rekey_by"), "departed", ["rekey_by"], unique=False)
    op.add_column("topic", sa.Column("revoke_within_s", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("topic", "revoke_within_s")
    for table in ("departed", "topic_change", "planned", "topic_next"):
        op.drop_table(table)
