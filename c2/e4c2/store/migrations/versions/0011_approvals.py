# SPDX-License-Identifier: Apache-2.0
"""Four eyes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "approval",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("requester", columns.Text(1024), nullable=False),
        sa.Column("digest", columns.Bytes(32), nullable=False),
        sa.Column("about", columns.Blob(2**24 - 1), nullable=False),
        sa.Column("state", columns.Text(16), nullable=False),
        sa.Column("decider", columns.Blob(2**24 - 1)),
        sa.Column("expires", columns.Time, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval")),
    )


def downgrade() -> None:
    op.drop_table("approval")
