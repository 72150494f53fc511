# SPDX-License-Identifier: Apache-2.0
"""Who may do what."""

from __future__ import annotations

revision = "0004"
down_revision = "0003"


def upgrade() -> None: ...


def downgrade() -> None: ...
