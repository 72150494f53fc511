# SPDX-License-Identifier: Apache-2.0
"""Devices that do not hold what they should: each is emptied and filled, again and again, ever less often."""

from __future__ import annotations

import logging
from collections.abc import Collection

import sqlalchemy as sa

from e4c2 import commands, queueing
from e4c2.columns import among, portions
from e4c2.commands import WAITS_AT_MOST_S, pause
from e4c2.model import Delivery, Kind, link, membership, outbox, topic_next
from e4c2.queueing import NEXTS, PEERS, TOPICS
from e4c2.rows import Realm, Row

log = logging.getLogger(__name__)

EVERY_S = 30
"""At most; of a device that it does not help, twice as long each time."""
_FILLING = (Kind.TOPIC, Kind.NEXT, Kind.PEER, Kind.RESET_TOPICS, Kind.RESET_PEERS)
_EMPTIES = outbox.c.kind == Kind.RESET_TOPICS.value


def begin(db: sa.Connection, realm: Realm, rows: Collection[Row], not_before: float = 0) -> None:
    """Fill these clients, for no reason but that they were found to lack something."""
    names = [row["name"] for row in rows]
    operation = ("catch_up", names[0]) if len(names) == 1 else ("catch_up_many", f"{len(names)} clients")
    realm.astray.update((row["id"], realm.astray.get(row["id"], 0) + 1) for row in rows)
    fill(db, realm, rows, commands.begin(db, realm, *operation), not_before)


def again(db: sa.Connection, realm: Realm, row: Row) -> None:
    """As `begin`, of a client that may have been filled before in vain."""
    in_vain = realm.astray.get(row["id"], 0)
    wait = pause(EVERY_S, WAITS_AT_MOST_S, in_vain)
    if in_vain:
        log.warning(
            "%s was caught up %d times in vain; the next time is %.0f s after the last", row["name"], in_vain, wait
        )
    before = max(_last(db, realm, row, of) for of in (outbox.c.created, outbox.c.not_before))
    begin(db, realm, [row], before + wait)


def lately(db: sa.Connection, realm: Realm, clients: Collection[bytes]) -> set[bytes]:
    """Those that were emptied so short a while ago that they are to wait. Args: clients: few enough for one statement."""
    now = realm.clock()
    times = (sa.and_(of > now - EVERY_S, of <= now) for of in (outbox.c.created, outbox.c.not_before))
    emptied = sa.select(outbox.c.client).where(_EMPTIES, among(db, outbox.c.client, list(clients)), sa.or_(*times))
    return set(db.scalars(emptied)) if clients else set()


def fill(
    db: sa.Connection, realm: Realm, rows: Collection[Row], operation_id: bytes | None, not_before: float = 0
) -> None:
    """Empty devices and bring them everything that they should hold, from ``not_before`` (Unix seconds) on.

    Args: rows: of the clients, few enough for one statement.
    """
    ids, last = [row["id"] for row in rows], queueing.newest(db)
    commands.enqueue(db, realm, operation_id, ids, Kind.RESET_TOPICS)
    mine, joined = [among(db, outbox.c.client, ids)], among(db, membership.c.client, ids)
    queueing.insert(db, realm, operation_id, TOPICS, [joined], mine)
    if nexts := list(db.scalars(sa.select(topic_next.c.topic).where(topic_next.c.key.is_not(None)))):
        parts = [sa.and_(joined, membership.c.topic.in_(portion)) for portion in portions(nexts)]
        queueing.insert(db, realm, operation_id, NEXTS, parts, mine)
    if not realm.suite.is_symmetric:
        commands.enqueue(db, realm, operation_id, ids, Kind.RESET_PEERS)
        queueing.insert(db, realm, operation_id, PEERS, [among(db, link.c.holder, ids)], mine)
    # only now, as it is inherited by what takes its place that a former key is still to be erased
    commands.close(db, ids, _FILLING, Delivery.SUPERSEDED, outbox.c.id <= last)
    commands.tell_c2_keys(db, realm, rows, operation_id)
    if not_before > realm.clock():
        waiting = [*mine, outbox.c.state == Delivery.PENDING.value, outbox.c.not_before < not_before]
        db.execute(sa.update(outbox).where(*waiting).values(not_before=not_before))


def _last(db: sa.Connection, realm: Realm, row: Row, time: sa.Column[float]) -> float:
    """The latest ``time`` at which it was emptied, 0: never; one that seems to lie in the future does not count."""
    where = [outbox.c.client == row["id"], _EMPTIES, time <= realm.clock()]
    return db.scalar(sa.select(sa.func.max(time)).where(*where)) or 0.0
