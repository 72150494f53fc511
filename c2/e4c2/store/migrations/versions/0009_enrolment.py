# SPDX-License-Identifier: Apache-2.0
"""Devices enrol themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "enrolment",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("name", columns.Text(512), nullable=False),
        sa.Column("lookup", columns.Bytes(36), nullable=False),
        sa.Column("clients", columns.Text(513), nullable=False),
        sa.Column("topics", columns.Blob(8192), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("expires", columns.Time, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment")),
        sa.UniqueConstraint("lookup", name=op.f("uq_enrolment_lookup")),
    )


def downgrade() -> None:
    op.drop_table("enrolment")
