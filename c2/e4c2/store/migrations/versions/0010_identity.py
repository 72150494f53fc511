# SPDX-License-Identifier: Apache-2.0
"""Identities: who of an issuer or a CA may do what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from e4c2 import columns

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "identity",
        sa.Column("id", columns.Bytes(16), nullable=False),
        sa.Column("name", columns.Text(512), nullable=False),
        sa.Column("found_by", columns.Text(16), nullable=False),
        sa.Column("issuer", columns.Text(512), nullable=False),
        sa.Column("value", columns.Text(512), nullable=False),
        sa.Column("lookup", columns.Bytes(32), nullable=False),
        sa.Column("grants", columns.Blob(2**24 - 1), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("mac", columns.Bytes(36), nullable=False),
        sa.Column("created", columns.Time, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
        sa.UniqueConstraint("lookup", name=op.f("uq_identity_lookup")),
    )


def downgrade() -> None:
    op.drop_table("identity")
