# SPDX-License-Identifier: Apache-2.0
"""The C2 processes on one database: who is at work, who serves which device, and what becomes of what a dead one had in hand.

Each counts its beats in a row of its own. Whose count stands still for `DEAD_AFTER_S`, by the clock of whoever looks, is dead: its
row goes, and what it had in hand is sent again by others. No clock is compared with that of another machine. A device is served by
one replica at a time (rule 9): while one has a command for it in hand, no other seals any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from e4c2 import events
from e4c2.commands import requeue
from e4c2.key_changes import ARRIVES_WITHIN_S
from e4c2.model import Delivery, client, outbox, replica
from e4c2.rows import Realm

BEAT_EVERY_S = 2.0
DEAD_AFTER_S = 15.0

_OF_OTHERS = sa.select(replica.c.id).where(replica.c.id != sa.bindparam("me"))
_THEIRS = outbox.alias("theirs")


class Watch:
    """How long the counts of others have been standing still."""

    def __init__(self, dead_after_s: float = DEAD_AFTER_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: dead_after_s: 0 where there can be no others.  clock: seconds, never set back."""
        self._dead_after_s = dead_after_s
        self._clock = clock
        self._seen: dict[bytes, tuple[int, float]] = {}

    def dead(self, beats: Mapping[bytes, int]) -> set[bytes]:
        """Args: beats: of all others, as they are now."""
        now = self._clock()
        before = self._seen
        self._seen = {
            of: before[of] if before.get(of, (None,))[0] == count else (count, now) for of, count in beats.items()
        }
        return {of for of, (_, since) in self._seen.items() if now - since >= self._dead_after_s}


def beat(db: sa.Connection, realm: Realm, watch: Watch, deks: bytes) -> set[bytes]:
    """Say that this one is at work, for the first time too, and take over from those that are dead; which they were.

    Args: deks: `e4c2.deks.fingerprint` of those whose keys it holds.
    """
    mine = replica.c.id == realm.replica
    told = sa.update(replica).where(mine).values(beats=replica.c.beats + 1, deks=deks)
    if not db.execute(told).rowcount:
        db.execute(sa.insert(replica).values(id=realm.replica, beats=0, deks=deks, started=realm.clock()))
        events.tell(db, realm, events.Kind.REPLICA_STARTED, replica=realm.replica.hex())
    others = db.execute(sa.select(replica.c.id, replica.c.beats).where(~mine)).all()
    dead = watch.dead({row.id: row.beats for row in others})
    if dead:
        db.execute(sa.delete(replica).where(replica.c.id.in_(dead)))
        for each in sorted(dead):
            events.tell(db, realm, events.Kind.REPLICA_GONE, replica=each.hex(), dead=True)
        resume(db, realm)
    return dead


def leave(db: sa.Connection, realm: Realm) -> None:
    """This one ends, and gives back what it has in hand."""
    db.execute(sa.delete(replica).where(replica.c.id == realm.replica))
    events.tell(db, realm, events.Kind.REPLICA_GONE, replica=realm.replica.hex(), dead=False)
    resume(db, realm)


def resume(db: sa.Connection, realm: Realm) -> None:
    """Send again what nobody has in hand any more, and what devices may have confirmed to a C2 that died meanwhile."""
    reporting = outbox.c.client.in_(sa.select(client.c.id).where(client.c.reports))
    lately = sa.and_(
        outbox.c.state == Delivery.SENT.value, outbox.c.second > realm.clock() - ARRIVES_WITHIN_S, reporting
    )
    held = _others(db, realm)
    orphaned = sa.or_(outbox.c.holder.is_(None), outbox.c.holder.not_in(held))
    requeue(db, sa.or_(sa.and_(outbox.c.state == Delivery.SENDING.value, orphaned), lately))


def claimable(db: sa.Connection, realm: Realm) -> list[sa.ColumnElement[bool]] | None:
    """What holds of deliveries that this one may seal now; None: the others hold it for dead, until its next beat."""
    others = _others(db, realm)
    if not others:
        return []
    if db.scalar(sa.select(replica.c.id).where(replica.c.id == realm.replica)) is None:
        return None
    elsewhere = [
        _THEIRS.c.client == outbox.c.client,
        _THEIRS.c.state == Delivery.SENDING.value,
        _THEIRS.c.holder.in_(others),
    ]
    return [~sa.exists().where(*elsewhere)]


def hold(db: sa.Connection) -> set[bytes]:
    """The `deks` of all that are at work."""
    return set(db.scalars(sa.select(replica.c.deks)))


def _others(db: sa.Connection, realm: Realm) -> list[bytes]:
    return list(db.scalars(_OF_OTHERS, {"me": realm.replica}))
