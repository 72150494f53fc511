# SPDX-License-Identifier: Apache-2.0
"""Refusals, counted: one record a minute for each source, kind and (of who is known) action, so that nobody fills the disk."""

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
    """Who, from where, the kind of the error, and of who is known also what they asked for: ``action:`` and an operation id."""

    principal: str
    source: str
    kind: str
    objects: tuple[str, ...] = ()


Counts = Counter[Refusal]


class Refusals:
    """Of one process, in its event loop; what a crash loses is a minute of them."""

    def __init__(self) -> None:
        self._counts = Counts()

    def count(self, kind: str, source: str) -> None:
        """Of somebody who is not known."""
        self._count(Refusal(NOBODY, source, kind))

    def count_act(self, kind: str, act: Act) -> None:
        """Of somebody who is."""
        self._count(Refusal(act.principal, act.source, kind, (f"action:{act.action}",)))

    def _count(self, refusal: Refusal) -> None:
        if refusal not in self._counts and len(self._counts) >= MOST:
            refusal = Refusal(NOBODY, OTHERS, refusal.kind)
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
        act = Act(ACTION, refusal.principal, refusal.source, objects=refusal.objects)
        append(db, realm, act, refusal.kind, count)
