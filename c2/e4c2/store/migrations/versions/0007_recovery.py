# SPDX-License-Identifier: Apache-2.0
"""A C2 that was restored."""

from __future__ import annotations

revision = "0007"
down_revision = "0006"


def upgrade() -> None: ...


def downgrade() -> None: ...
