# SPDX-License-Identifier: Apache-2.0
"""Devices enrol themselves."""

from __future__ import annotations

revision = "0009"
down_revision = "0008"


def upgrade() -> None: ...


def downgrade() -> None: ...
