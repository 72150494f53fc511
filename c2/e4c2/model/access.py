# SPDX-License-Identifier: Apache-2.0
"""Who may ask for what."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import ID, NAME, TIME, grant, metadata

approval = sa.Table(
    "approval",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("requester", columns.Text(1024), nullable=False),
    sa.Column("digest", columns.Bytes(32), nullable=False),
    sa.Column("about", columns.Blob(2**24 - 1), nullable=False),
    sa.Column("state", columns.Text(16), nullable=False),
    sa.Column("decider", columns.Blob(2**24 - 1)),
    sa.Column("expires", TIME, nullable=False),
    *grant(),
    sa.Column("created", TIME, nullable=False),
)
"""``about``: JSON of who asked for what, and needs what; ``decider``: of who has decided (see `e4c2.approvals`)."""

token = sa.Table(
    "token",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("lookup", columns.Bytes(36), nullable=False, unique=True),
    sa.Column("expires", TIME),
    sa.Column("grants", columns.Blob(2**24 - 1)),
    *grant(),
    sa.Column("created", TIME, nullable=False),
)
"""``grants`` (see `e4c2.access.grants`) NULL: made before there were any, with every permission."""

identity = sa.Table(
    "identity",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("found_by", columns.Text(16), nullable=False),
    sa.Column("issuer", columns.Text(512), nullable=False),
    sa.Column("value", columns.Text(512), nullable=False),
    sa.Column("lookup", columns.Bytes(32), nullable=False, unique=True),
    sa.Column("grants", columns.Blob(2**24 - 1), nullable=False),
    *grant(),
    sa.Column("created", TIME, nullable=False),
)
"""``found_by``, ``issuer``, ``value``: whom it names (see `e4c2.access.marks`), and ``lookup`` for all three together."""
