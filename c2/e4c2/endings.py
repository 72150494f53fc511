# SPDX-License-Identifier: Apache-2.0
"""Operations that have come to their end, each told once, so that nobody need ask again and again.

One is over when nothing of it is to be sent, and every device that reports has answered. A young one is looked at every second, an
older one after a tenth of its age: so what waits for devices that are away costs little, however many there are of it. A look is a
handful of statements.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

import sqlalchemy as sa

from e4c2.commands import AWAITED, LOOKED_AFTER_S, off_record
from e4c2.events import log
from e4c2.events.log import Happening
from e4c2.model import Delivery, EventKind, operation, outbox
from e4c2.rows import Realm, Row

ABOUT_TOPIC = ("rotate", "remove_topic", "join", "leave", "rekey", "plan", "activate", "abort")
ABOUT_CLIENT = (
    "remove_client",
    "new_key_routine",
    "new_key_compromised",
    "confirm_key",
    "enrol",
    "reset",
    "reset_links",
    "catch_up",
    "retry",
)
ABOUT_SOME = ("remove_clients",)
"""Kinds of operations whose subject is the name of a topic, and of a client; and of some that are not named."""
AT_ONCE = 500
"""Operations looked at in one transaction."""
_SHARE, LONGEST_S = 0.1, 600.0
"""Of its age, until the next look; and never longer, in seconds."""
_UNSENT = outbox.c.state.in_((Delivery.PENDING.value, Delivery.SENDING.value))
_IS_OPEN = sa.or_(
    *[sa.exists().where(outbox.c.operation == operation.c.id, of).correlate(operation) for of in (_UNSENT, AWAITED)]
)
_ENDS: tuple[tuple[Delivery, EventKind], ...] = (
    (Delivery.REFUSED, EventKind.OPERATION_FAILED),
    (Delivery.EXPIRED, EventKind.OPERATION_EXPIRED),
    (Delivery.SENT, EventKind.OPERATION_SENT),
)
"""How one ended that has deliveries in this state, the first that there is; else all is confirmed, or not needed any more."""


def is_due(db: sa.Connection, realm: Realm) -> bool:
    """Whether `look` has something to do."""
    return db.scalar(sa.select(operation.c.id).where(_due(realm.clock())).limit(1)) is not None


def look(db: sa.Connection, realm: Realm) -> None:
    """Tell which operations are over since the last look."""
    now = realm.clock()
    due = sa.select(operation, _IS_OPEN.label("is_open")).where(_due(now)).order_by(operation.c.look_at)
    rows = db.execute(due.limit(AT_ONCE)).mappings().all()
    waiting, ended = ([row for row in rows if bool(row["is_open"]) is is_open] for is_open in (True, False))
    if waiting:
        age = sa.func.abs(now - operation.c.created) * _SHARE
        pause = sa.case((age < LOOKED_AFTER_S, LOOKED_AFTER_S), (age > LONGEST_S, LONGEST_S), else_=age)
        _put(db, waiting, now + pause)
    if ended:
        _put(db, ended, None)
        counts = _counts(db, [row["id"] for row in ended])
        log.record(db, realm, [_told(row, counts[row["id"]] + off_record(row)) for row in ended])


def _due(now: float) -> sa.ColumnElement[bool]:
    """Later than ever is what was put off while the clock ran ahead."""
    return sa.or_(operation.c.look_at <= now, operation.c.look_at > now + 2 * LONGEST_S)


def _put(db: sa.Connection, rows: Collection[Row], look_at: sa.ColumnElement[float] | None) -> None:
    ids = [row["id"] for row in rows]
    db.execute(sa.update(operation).where(operation.c.id.in_(ids)).values(look_at=look_at))


def _counts(db: sa.Connection, ids: Collection[bytes]) -> Mapping[bytes, Counter[str]]:
    counts: defaultdict[bytes, Counter[str]] = defaultdict(Counter)
    grouped = sa.select(outbox.c.operation, outbox.c.state, sa.func.count()).where(outbox.c.operation.in_(ids))
    for of, state, n in db.execute(grouped.group_by(outbox.c.operation, outbox.c.state)):
        counts[of][state] = int(n)
    return counts


def _told(row: Row, counts: Counter[str]) -> Happening:
    kind = next((kind for state, kind in _ENDS if counts[state.value]), EventKind.OPERATION_CONFIRMED)
    change, subject = row["kind"], row["subject"]
    return Happening(
        kind=kind,
        client=subject if change in ABOUT_CLIENT else None,
        topic=subject if change in ABOUT_TOPIC else None,
        data={"operation": row["id"].hex(), "change": change, "subject": subject, **counts},
    )
