# SPDX-License-Identifier: Apache-2.0
"""What became of deliveries at the broker, written down for many at once: one at a time costs more than the sending."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from e4c2.columns import among, portions
from e4c2.commands import requeue
from e4c2.model import Delivery, outbox
from e4c2.rows import Realm
from e4c2.setwise import Setwise


def settle(
    db: sa.Connection, realm: Realm, sent: Iterable[tuple[int, int]], lost: Iterable[tuple[int, int, float]]
) -> None:
    """Write down what the broker has, (delivery, attempt), and what it may not have: with the second from which to try again.

    A report may have been quicker: then the delivery is confirmed already, and stays so.
    """
    now = realm.clock()
    for these in _portions(db, sent):
        flying = [these, outbox.c.state == Delivery.SENDING.value]
        since = sa.case(
            (outbox.c.awaited_since <= now, outbox.c.awaited_since), else_=now
        )  # of a clock that was ahead: now
        db.execute(sa.update(outbox).where(*flying).values(state=Delivery.SENT.value, awaited_since=since))
    lost = list(lost)
    for these in _portions(db, ((row, attempt) for row, attempt, _ in lost)):
        requeue(db, these)
    _AGAIN(db, [{"row": row, "attempt": attempt, "at": again_at} for row, attempt, again_at in lost])


def _portions(db: sa.Connection, flown: Iterable[tuple[int, int]]) -> Iterator[sa.ColumnElement[bool]]:
    """Which deliveries these are, unless they were sealed anew since; each portion fits in a statement."""
    by_attempt: dict[int, list[int]] = {}
    for row, attempt in flown:
        by_attempt.setdefault(attempt, []).append(row)
    for attempt, ids in by_attempt.items():
        for portion in portions(ids):
            yield sa.and_(among(db, outbox.c.id, portion), outbox.c.attempts == attempt)


_AGAIN = Setwise(
    {"row": outbox.c.id.type, "attempt": outbox.c.attempts.type, "at": outbox.c.not_before.type},
    lambda of: (
        sa.update(outbox)
        .where(
            outbox.c.id == of["row"],
            outbox.c.attempts == of["attempt"],
            outbox.c.state == Delivery.PENDING.value,
        )
        .values(not_before=of["at"])
    ),
)
