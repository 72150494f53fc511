# SPDX-License-Identifier: Apache-2.0
"""Several C2 processes on one database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "ledger_change",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("change", columns.Blob(2**24 - 1), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_change")),
    )
    op.create_table(
        "replica",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.Column("deks", columns.Bytes(32), nullable=False),
        sa.Column("started", columns.Time, nullable=False),
        sa.Column("linked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replica")),
    )
    op.create_index("ix_outbox_operation_state", "outbox", ["operation", "state"])
    op.drop_index("ix_outbox_operation", table_name="outbox")
    op.create_index("ix_operation_kind_created", "operation", ["kind", "created"])
    op.add_column("outbox", sa.Column("holder", columns.Bytes(16)))
    op.create_index(op.f("ix_ledger_change_created"), "ledger_change", ["created"], unique=False)


def downgrade() -> None:
    op.drop_column("outbox", "holder")
    op.drop_index("ix_operation_kind_created", table_name="operation")
    op.create_index("ix_outbox_operation", "outbox", ["operation"])
    op.drop_index("ix_outbox_operation_state", table_name="outbox")
    op.drop_table("replica")
    op.drop_index(op.f("ix_ledger_change_created"), table_name="ledger_change")
    op.drop_table("ledger_change")
