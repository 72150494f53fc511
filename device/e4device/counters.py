# SPDX-License-Identifier: Apache-2.0
"""What a device counts while it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Counters:
    """What happened since the start."""

    published: int = 0
    received: int = 0
    """Messages that were in order."""
    replayed: int = 0
    """Messages refused because they were accepted before; QoS 1 makes some."""
    dropped: int = 0
    """Messages in order that the application did not read in time."""
    hellos: int = 0
    reconnects: int = 0
    commands: Counter[str] = field(default_factory=Counter)
    """By outcome: applied, already, refused, outdated."""
    errors: Counter[str] = field(default_factory=Counter)
    """By kind (`e4core.errors`): messages and commands that were refused, reports that could not be sent."""

    def snapshot(self) -> dict[str, int | dict[str, int]]:
        """All of them as they are now, in plain types."""
        values = ((entry.name, getattr(self, entry.name)) for entry in fields(self))
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in values}
