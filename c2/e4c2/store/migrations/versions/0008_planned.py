# SPDX-License-Identifier: Apache-2.0
"""Planned rotations."""

from __future__ import annotations

revision = "0008"
down_revision = "0007"


def upgrade() -> None: ...


def downgrade() -> None: ...
