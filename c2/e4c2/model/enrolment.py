# SPDX-License-Identifier: Apache-2.0
"""What lets devices enrol themselves."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, NAME, TIME, grant, metadata

enrolment = sa.Table(
    "enrolment",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("lookup", columns.Bytes(36), nullable=False, unique=True),
    sa.Column("clients", columns.Text(513), nullable=False),
    sa.Column("topics", columns.Blob(8192), nullable=False),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("expires", TIME, nullable=False),
    *grant(),
    sa.Column("created", TIME, nullable=False),
)
"""``clients``: pattern of the names that devices may take; ``topics``: ids of those they join, 16 B each; ``uses``: those left."""
