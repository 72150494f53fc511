# SPDX-License-Identifier: Apache-2.0
"""The audit log."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None: ...


def downgrade() -> None: ...
