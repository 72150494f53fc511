# SPDX-License-Identifier: Apache-2.0
"""Events and webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "event",
        sa.Column("id", columns.Number, nullable=False),
        sa.Column("kind", columns.Text(32), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.Column("client", columns.Text(512), nullable=True),
        sa.Column("topic", columns.Text(512), nullable=True),
        sa.Column("data", columns.Text(4000), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_event_created"), "event", ["created"], unique=False)
    op.create_table(
        "webhook",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("name", columns.Text(512), nullable=False),
        sa.Column("url", columns.Text(2048), nullable=False),
        sa.Column("kinds", columns.Text(1024), nullable=False),
        sa.Column("secret", columns.Blob(256), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("holder", columns.Bytes(16), nullable=True),
        sa.Column("not_before", columns.Time, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failing_since", columns.Time, nullable=True),
        sa.Column("failure", columns.Text(255), nullable=True),
        sa.Column("paused", columns.Time, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        sa.UniqueConstraint("name", name=op.f("uq_webhook_name")),
    )


def downgrade() -> None:
    op.drop_table("webhook")
    op.drop_index(op.f("ix_event_created"), table_name="event")
    op.drop_table("event")
