# SPDX-License-Identifier: Apache-2.0
"""Messages that this C2 has unprotected."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import columns
from e4c2.model.base import TIME, metadata

unprotected = sa.Table(
    "unprotected",
    metadata,
    sa.Column("message", columns.Bytes(32), primary_key=True),
    sa.Column("sent", TIME, nullable=False, index=True),
)
"""``message``: a hash of what tells one from all others (see `e4c2.traffic`); ``sent``: as the message says."""
