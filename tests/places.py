# SPDX-License-Identifier: Apache-2.0
"""Where a C2 of a test has its database."""

from __future__ import annotations

from pathlib import Path

from e4c2.settings import Settings


def database_file(settings: Settings) -> Path:
    """Of one with SQLite."""
    assert isinstance(settings.place, Path)
    return settings.place
