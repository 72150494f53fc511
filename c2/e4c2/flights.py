# SPDX-License-Identifier: Apache-2.0
"""Deliveries on their way to the broker, and what is to be written down of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import sqlalchemy as sa

from e4c2.columns import among, portions
from e4c2.commands import requeue
from e4c2.format import Sealed
from e4c2.model import Delivery, outbox
from e4c2.rows import Realm


class Flight:
    """A delivery on its way, and those that it carries; ``again_at`` None: nothing of it failed."""

    __slots__ = ("again_at", "attempt", "carried", "publications", "sealed_at")

    def __init__(self, sealed: Sealed, now: float) -> None:
        self.attempt = sealed.attempt
        self.carried = sealed.carried
        self.sealed_at = now
        self.publications: set[asyncio.Future[None]] = set()
        self.again_at: float | None = None


def outcome(flights: Collection[Flight]) -> tuple[list[tuple[int, int]], list[tuple[int, int, float]]]:
    """What the broker has, and what it may not have, as `e4c2.settling.settle` takes them."""
    sent = [each for flight in flights if flight.again_at is None for each in flight.carried]
    lost = [(*each, at) for flight in flights if (at := flight.again_at) is not None for each in flight.carried]
    return sent, lost


def reclaim(db: sa.Connection, realm: Realm, flights: Collection[Flight]) -> None:
    """Send again what this C2 has claimed and none of ``flights`` carries: it never heard that the claim was done."""
    mine = [outbox.c.state == Delivery.SENDING.value, outbox.c.holder == realm.replica]
    claimed = {(row, attempt) for row, attempt in db.execute(sa.select(outbox.c.id, outbox.c.attempts).where(*mine))}
    stranded = claimed.difference(*[flight.carried for flight in flights])
    for portion in portions(sorted(row for row, _ in stranded)):
        requeue(db, among(db, outbox.c.id, portion), *mine)
