# SPDX-License-Identifier: Apache-2.0
"""Operations are looked at until they are over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("operation", sa.Column("look_at", columns.Time, nullable=True))
    op.create_index(op.f("ix_operation_look_at"), "operation", ["look_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_operation_look_at"), "operation")
    op.drop_column("operation", "look_at")
