# SPDX-License-Identifier: Apache-2.0
"""Operations count what of them is off the record, as devices have done the same anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_STATES = ("confirmed", "sent", "superseded")


def upgrade() -> None:
    for state in _STATES:
        op.add_column("operation", sa.Column(state, sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    for state in _STATES:
        op.drop_column("operation", state)
