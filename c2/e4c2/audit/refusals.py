# SPDX-License-Identifier: Apache-2.0
"""Refusals, counted: one record a minute for each source, kind and (of who is known) action, so that no stranger fills the disk."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import sqlalchemy as sa

from e4c2.access.limits import network_of
from e4c2.audit.chain import append
from e4c2.audit.records import Act
from e4c2.rows import Realm

MOST = 500
"""Of strangers, and of those who are known, that are told apart within a minute. Beyond, nobody tells from where; who is known is
named all the same, so that no stranger's noise covers them."""
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
        self._strangers, self._known = Counts(), Counts()

    def count(self, kind: str, source: str) -> None:
        """Of somebody who is not known."""
        self._count(self._strangers, Refusal(NOBODY, network_of(source), kind))

    def count_act(self, kind: str, act: Act) -> None:
        """Of somebody who is."""
        self._count(self._known, Refusal(act.principal, network_of(act.source), kind, (f"action:{act.action}",)))

    def _count(self, counts: Counts, refusal: Refusal) -> None:
        if refusal not in counts and len(counts) >= MOST:
            refusal = Refusal(refusal.principal, OTHERS, refusal.kind)
        counts[refusal] += 1

    def take(self) -> Counts:
        """What was counted since the last time."""
        taken = self._strangers + self._known
        self._strangers.clear()
        self._known.clear()
        return taken

    def give_back(self, taken: Counts) -> None:
        """It could not be written."""
        for refusal, count in taken.items():
            (self._strangers if refusal.principal == NOBODY else self._known)[refusal] += count


def record(db: sa.Connection, realm: Realm, counts: Counts) -> None:
    """One record for each. Raises: Tampered. KmsError."""
    for refusal, count in sorted(counts.items()):
        act = Act(ACTION, refusal.principal, refusal.source, objects=refusal.objects)
        append(db, realm, act, refusal.kind, count)
