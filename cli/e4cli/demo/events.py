# SPDX-License-Identifier: Apache-2.0
"""What the demo tells, whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Act:
    """Something is about to happen."""

    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something to know that is no claim."""

    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that must hold, and whether it did."""

    text: str
    held: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """One message from both sides; ``read``: device -> what it made of it."""

    sender: str
    said: str
    topic: str
    seen: bytes
    read: Mapping[str, str]


Event = Act | Note | Claim | Sight
