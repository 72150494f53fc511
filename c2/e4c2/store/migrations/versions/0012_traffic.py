# SPDX-License-Identifier: Apache-2.0
"""What was unprotected."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "unprotected",
        sa.Column("message", columns.Bytes(32), nullable=False),
        sa.Column("sent", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("message", name=op.f("pk_unprotected")),
    )
    op.create_index(op.f("ix_unprotected_sent"), "unprotected", ["sent"])


def downgrade() -> None:
    op.drop_table("unprotected")
