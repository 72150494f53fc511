# SPDX-License-Identifier: Apache-2.0
"""The C2 processes on one database: who is at work, who serves which device, and what becomes of what a dead one had in hand.

Each counts its beats in a row of its own. Whose count stands still for `DEAD_AFTER_S`, by the clock of whoever looks, is dead: its
row goes, and what it had in hand is sent again by others. No clock is compared with that of another machine. A device is served by
one replica at a time (rule 9): while one has a command for it in hand, no other seals any.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import events
from e4c2.commands import requeue
from e4c2.key_changes import ARRIVES_WITHIN_S
from e4c2.model import Delivery, client, outbox, replica
from e4c2.rows import Realm

BEAT_EVERY_S = 2.0
DEAD_AFTER_S = 15.0
LOOKS = 4
"""That must have seen the same count: where nobody could beat for a while, as the database was away, all stand still at first."""

_COUNTS = sa.select(replica.c.id, replica.c.beats).where(replica.c.id != sa.bindparam("me"))


@dataclass(slots=True)
class _Seen:
    """A count that stands still ``since`` then, by so many looks."""

    count: int
    since: float
    looks: int


class Watch:
    """How long the counts of others have been standing still."""

    def __init__(self, dead_after_s: float = DEAD_AFTER_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: dead_after_s: 0 where there can be no others.  clock: seconds, never set back."""
        self._dead_after_s = dead_after_s
        self._looks = LOOKS if dead_after_s else 1
        self._clock = clock
        self._seen: dict[bytes, _Seen] = {}

    def dead(self, beats: Mapping[bytes, int]) -> set[bytes]:
        """Args: beats: of all others, as they are now."""
        now, before = self._clock(), self._seen
        self._seen = {of: _Seen(count, now, 0) for of, count in beats.items()}
        for of, seen in before.items():
            if of in beats and seen.count == beats[of]:
                self._seen[of] = seen
        for seen in self._seen.values():
            seen.looks += 1
        return {of for of, seen in self._seen.items() if self._is_dead(seen, now)}

    def _is_dead(self, seen: _Seen, now: float) -> bool:
        return now - seen.since >= self._dead_after_s and seen.looks >= self._looks


def beat(db: sa.Connection, realm: Realm, watch: Watch, deks: bytes, linked: bool = True) -> set[bytes]:
    """Say that this one is at work, for the first time too, and take over from those that are dead; which they were.

    Args: deks: `e4c2.deks.fingerprint` of those whose keys it holds.  linked: it is connected to the broker.
    """
    if tick(db, realm, deks, linked) is None:
        first = {"id": realm.replica, "beats": 0, "deks": deks, "started": realm.clock(), "linked": linked}
        db.execute(sa.insert(replica).values(first))
        events.tell(db, realm, events.Kind.REPLICA_STARTED, replica=realm.replica.hex())
    counts = _counts(db, realm)
    return bury(db, realm, {each: counts[each] for each in watch.dead(counts)})


def bury(db: sa.Connection, realm: Realm, dead: Mapping[bytes, int]) -> set[bytes]:
    """Take over from these, unless one has beaten since its count was this; from which that was."""
    buried = set()
    for each, beats in sorted(dead.items()):
        if db.execute(sa.delete(replica).where(replica.c.id == each, replica.c.beats == beats)).rowcount:
            buried.add(each)
            events.tell(db, realm, events.Kind.REPLICA_GONE, replica=each.hex(), dead=True)
    if buried:
        requeue(db, outbox.c.state == Delivery.SENDING.value, outbox.c.holder.in_(buried))
    return buried


def tick(db: sa.Connection, realm: Realm, deks: bytes, linked: bool = True) -> dict[bytes, int] | None:
    """Say that this one is still at work, and nothing else; the counts of all others, as a `Watch` looks at them.

    Args: as `beat`. None: the others hold this one for dead.
    """
    told = {"beats": replica.c.beats + 1, "deks": deks, "linked": linked}
    mine = sa.update(replica).where(replica.c.id == realm.replica)
    return _counts(db, realm) if db.execute(mine.values(**told)).rowcount else None


def _counts(db: sa.Connection, realm: Realm) -> dict[bytes, int]:
    """Of all others."""
    return {row.id: row.beats for row in db.execute(_COUNTS, {"me": realm.replica})}


def is_known(db: sa.Connection, realm: Realm) -> bool:
    """Whether the others hold this one for alive."""
    return db.scalar(sa.select(replica.c.id).where(replica.c.id == realm.replica)) is not None


def leads(db: sa.Connection, realm: Realm) -> bool:
    """Whether this one does what is to be done once: the first of those at work."""
    return _first(db) in (realm.replica, None)


def hears(db: sa.Connection, realm: Realm) -> bool:
    """Whether this one is to hear the reports of the fleet: the first of those that are connected to the broker."""
    return _first(db, replica.c.linked.is_(True)) == realm.replica


def leave(db: sa.Connection, realm: Realm) -> None:
    """This one ends, and gives back what it has in hand."""
    db.execute(sa.delete(replica).where(replica.c.id == realm.replica))
    events.tell(db, realm, events.Kind.REPLICA_GONE, replica=realm.replica.hex(), dead=False)
    resume(db, realm)


def resume(db: sa.Connection, realm: Realm) -> None:
    """Send again what nobody has in hand any more."""
    orphaned = sa.or_(outbox.c.holder.is_(None), outbox.c.holder.not_in(list(_counts(db, realm))))
    requeue(db, outbox.c.state == Delivery.SENDING.value, orphaned)


def ask_again(db: sa.Connection, realm: Realm) -> None:
    """Send again what devices may have confirmed while nobody heard it."""
    lately = outbox.c.second > realm.clock() - ARRIVES_WITHIN_S
    reporting = outbox.c.client.in_(sa.select(client.c.id).where(client.c.reports))
    requeue(db, outbox.c.state == Delivery.SENT.value, lately, reporting)


def busy(db: sa.Connection, realm: Realm) -> Collection[bytes] | None:
    """Devices for which others have something in hand, which this one may seal nothing for.

    None: nothing may be sealed here, as the others hold this one for dead until its next beat.
    """
    others = list(_counts(db, realm))
    if not others:
        return ()
    if not is_known(db, realm):
        return None
    # read beforehand: joined to what is pending, it is compared row by row by a server that thinks them few
    theirs = [outbox.c.state == Delivery.SENDING.value, outbox.c.holder.in_(others)]
    return set(db.scalars(sa.select(outbox.c.client).where(*theirs)))


def hold(db: sa.Connection) -> set[bytes]:
    """The `deks` of all that are at work."""
    return set(db.scalars(sa.select(replica.c.deks)))


def _first(db: sa.Connection, *of: sa.ColumnElement[bool]) -> bytes | None:
    """The one that began first."""
    return db.scalar(sa.select(replica.c.id).where(*of).order_by(replica.c.started, replica.c.id).limit(1))
