# SPDX-License-Identifier: Apache-2.0
"""Since when the answer to a delivery is waited for, whenever it was sealed last; purges are found without all that is not one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0014"
down_revision = "0013"

_OUTBOX = sa.table("outbox", sa.column("state"), sa.column("second"), sa.column("awaited_since"))


def upgrade() -> None:
    op.add_column("outbox", sa.Column("awaited_since", columns.Time, nullable=True))
    waits = _OUTBOX.c.state.in_(("sent", "expired"))
    op.execute(sa.update(_OUTBOX).where(waits).values(awaited_since=_OUTBOX.c.second))
    op.create_index("ix_outbox_object_purge", "outbox", ["client", "kind", "object", "purge"])
    op.drop_index("ix_outbox_client_object", "outbox")


def downgrade() -> None:
    op.create_index("ix_outbox_client_object", "outbox", ["client", "kind", "object"])
    op.drop_index("ix_outbox_object_purge", "outbox")
    op.drop_column("outbox", "awaited_since")
