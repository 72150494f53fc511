# SPDX-License-Identifier: Apache-2.0
"""What all tables share."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import columns

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

ID = columns.Bytes(16)
TIME = columns.Time
NAME = columns.Text(512)


def grant() -> tuple[sa.Column[int], sa.Column[bytes]]:
    """What every row has that grants something (see `e4c2.rows`)."""
    return sa.Column("generation", sa.Integer, nullable=False), sa.Column("mac", columns.Bytes(36), nullable=False)
