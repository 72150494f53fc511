# SPDX-License-Identifier: Apache-2.0
"""What ``e4 doctor`` finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`UNKNOWN`: it could not be looked at."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """``remedy``: what to do; empty: nothing."""

    check: str
    level: Level
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A `Finding` of a check that has a name already."""

    level: Level
    found: str
    remedy: str = ""

    def of(self, check: str) -> Finding:
        return Finding(check, self.level, self.found, self.remedy)


def ok(found: str) -> Verdict:
    return Verdict(Level.OK, found)


def warning(found: str, remedy: str) -> Verdict:
    return Verdict(Level.WARNING, found, remedy)


def failure(found: str, remedy: str) -> Verdict:
    return Verdict(Level.FAILURE, found, remedy)


def unknown(found: str, remedy: str = "") -> Verdict:
    return Verdict(Level.UNKNOWN, found, remedy)
