# SPDX-License-Identifier: Apache-2.0
"""Format 2: until when devices are to keep what a delivery replaces (`format2.md` section 5).

One limit counts for all older keys of a device. So one that has missed several changes is told the end of the first of them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from e4c2.columns import portions
from e4c2.model import Delivery, Kind, outbox, topic
from e4c2.rows import Realm, Row, strange

log = logging.getLogger(__name__)

_REPLACING = (Kind.TOPIC.value, Kind.PEER.value)
_LATEST = 1 << 40
_CONFIRMED = Delivery.CONFIRMED.value
_UNDONE = [each.value for each in (Delivery.PENDING, Delivery.SENDING, Delivery.SENT, Delivery.EXPIRED)]


def ends(db: sa.Connection, realm: Realm, rows: Collection[Row], topics: Mapping[bytes, Row]) -> dict[int, int]:
    """Delivery -> Unix second from which on what it replaces is over, of those that may replace a key.

    No time here is under a MAC: one of the future counts as now, and one that was never written ends the former key at once.
    """
    replacing = [row for row in rows if row["kind"] in _REPLACING]
    begun: dict[int, float] = {}
    for portion in portions(row["id"] for row in replacing):
        begun.update((identity, _time(outbox, first)) for identity, first in db.execute(_FIRST_MISSED, {"of": portion}))
    for row in replacing:
        if row["kind"] == Kind.TOPIC and row["object"] in topics:
            begun[row["id"]] = min(begun[row["id"]], _time(topic, topics[row["object"]]["rotated"]))
    now = realm.clock()
    return {identity: int(min(first, now)) + realm.grace_s if first else 0 for identity, first in begun.items()}


def end(db: sa.Connection, before: float) -> None:
    """What was ordered ``before`` goes off the record; the grace of what a device missed then is over, and stays it."""
    missed, done = outbox.alias("missed"), outbox.alias("done")
    confirmed = sa.exists().where(*_same(done, missed), done.c.id > missed.c.id, done.c.state == _CONFIRMED)
    old = [missed.c.id < outbox.c.id, missed.c.created < before, missed.c.state != _CONFIRMED, ~confirmed]
    undone = outbox.c.state.in_(_UNDONE)
    forgets = [undone, outbox.c.kind.in_(_REPLACING), outbox.c.purge.is_(False)]
    db.execute(sa.update(outbox).where(*forgets, sa.exists().where(*_same(missed, outbox), *old)).values(purge=True))


def _first_missed() -> sa.Select[Any]:
    """Of each delivery in ``of``, when the first of the same was ordered after the last that the device has confirmed."""
    this, done, since = outbox.alias("this"), outbox.alias("done"), outbox.alias("since")
    confirmed = sa.select(sa.func.max(done.c.id)).where(*_same(done, this), done.c.state == _CONFIRMED)
    last = sa.func.coalesce(confirmed.correlate(this).scalar_subquery(), 0)
    first = sa.select(sa.func.min(since.c.created)).where(*_same(since, this), since.c.id > last)
    found = sa.func.coalesce(first.correlate(this).scalar_subquery(), this.c.created)
    return sa.select(this.c.id, found).where(this.c.id.in_(sa.bindparam("of", expanding=True)))


def _same(one: sa.FromClause, other: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    return [one.c[name] == other.c[name] for name in ("client", "kind", "object")]


_FIRST_MISSED = _first_missed()


def _time(table: sa.Table, value: object) -> float:
    # neither is what is no number, nor what is none
    if isinstance(value, int | float) and 0 <= value < _LATEST:
        return value
    log.error("former keys are over at once: %s", strange(table))
    return 0.0
