# SPDX-License-Identifier: Apache-2.0
"""Refusals, counted: one record a minute for each source and kind, so that strangers cannot fill the disk with their attempts."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import sqlalchemy as sa

from e4c2.audit.chain import append
from e4c2.audit.records import Act
from e4c2.rows import Realm

MOST = 500
"""Sources and kinds that are told apart within a minute; what comes from others is one record."""
OTHERS = "others"
ACTION = "refused"
NOBODY = "nobody"


class Refusal(NamedTuple):
    """Who, from where, and the kind of the error."""

    principal: str
    source: str
    kind: str


Counts = Counter[Refusal]


class Refusals:
    """Of one process, in its event loop; what a crash loses is a minute of them."""

    def __init__(self) -> None:
        self._counts = Counts()

    def count(self, kind: str, source: str, principal: str = NOBODY) -> None:
        refusal = Refusal(principal, source, kind)
        if refusal not in self._counts and len(self._counts) >= MOST:
            refusal = Refusal(NOBODY, OTHERS, kind)
        self._counts[refusal] += 1

    def take(self) -> Counts:
        """What was counted since the last time."""
        taken, self._counts = self._counts, Counts()
        return taken

    def give_back(self, taken: Counts) -> None:
        """It could not be written."""
        self._counts += taken


def record(db: sa.Connection, realm: Realm, counts: Counts) -> None:
    """One record for each. Raises: Tampered. KmsError."""
    for refusal, count in sorted(counts.items()):
        append(db, realm, Act(ACTION, refusal.principal, refusal.source), refusal.kind, count)
