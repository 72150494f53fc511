# SPDX-License-Identifier: Apache-2.0
"""Who may do what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("token", sa.Column("grants", columns.Blob(2**24 - 1), nullable=True))


def downgrade() -> None:
    op.drop_column("token", "grants")
