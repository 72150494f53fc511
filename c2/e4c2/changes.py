# SPDX-License-Identifier: Apache-2.0
"""How long it takes until every member of a topic has its new key; after an eviction that is the time to revoke.

It counts from the request, also where the new key was put off for others to leave, to the moment when the last member that stays
has confirmed the key; one of Format 1 that never reports is done when the broker has its command. In Format 2 a member that has
confirmed it takes nothing under the former key any more, after an eviction; in Format 1 it has erased that first.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

import sqlalchemy as sa

from e4c2 import events, holdings, queueing
from e4c2.columns import portions
from e4c2.model import Cause, client, membership, topic, topic_change
from e4c2.queueing import ACTIVE
from e4c2.rows import Realm, Row

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Changes looked after in one transaction."""
RECENT = 100
"""Revocations of a topic that its figures are made of."""
KEPT_S = 90 * 24 * 3600
"""How long changes stay on record."""

# Made once, as it takes longer to make these statements than to run them
_MINE = (topic_change.c.topic == sa.bindparam("of"), topic_change.c.cause == Cause.REVOCATION.value)
_OLDEST = sa.select(sa.func.min(topic_change.c.requested)).where(*_MINE, topic_change.c.ended.is_(None))
_RECENT = (
    sa.select(topic_change.c.ended - topic_change.c.requested)
    .where(*_MINE, topic_change.c.ended.is_not(None))
    .order_by(topic_change.c.id.desc())
    .limit(RECENT)
)


@dataclass(frozen=True, slots=True)
class Change:
    """One new key of a topic. ``converged``: when all ``members`` had it; None: some have not.  ``took_s``: since ``requested``.

    ``unheard``: those of them that never report, to which it was sent.
    """

    id: int
    cause: Cause
    requested: float
    begun: float
    converged: float | None
    took_s: float | None
    members: int | None
    unheard: int | None


@dataclass(frozen=True, slots=True)
class TimeToRevoke:
    """Of a topic, in seconds, over the last 100 revocations; ``open_s``: age of the oldest that is not over.

    ``target_s``: what it should be at most.  ``met``: by what is open, and by the last that is over; None: there is neither.
    """

    target_s: float | None
    met: bool | None
    open_s: float | None
    last_s: float | None
    p50_s: float | None
    p95_s: float | None
    max_s: float | None
    revocations: int


@dataclass(frozen=True, slots=True)
class Converged:
    """A topic all of whose members have the key that it got."""

    topic: bytes
    name: str
    cause: Cause
    took_s: float
    members: int
    unheard: int
    in_time: bool
    """False: a revocation that took longer than it should."""


@dataclass(frozen=True, slots=True)
class Open:
    """Revocations of all topics that are not over: how many, how many took too long already, and the age of the oldest."""

    revocations: int
    late: int
    oldest_s: float


def begin(
    db: sa.Connection, realm: Realm, topics: Collection[bytes], cause: Cause, first: Mapping[bytes, float] | None = None
) -> None:
    """These topics get new keys: to be said before their deliveries are queued.

    Args: first: when the first that was evicted from a topic was to go, where that is not now.
    """
    now = realm.clock()
    mark = queueing.newest(db)
    for portion in portions(topics):
        # who has the newer key needs no older one; but how long a revocation takes is counted to its end
        same = [topic_change.c.topic.in_(portion), topic_change.c.ended.is_(None)]
        db.execute(sa.delete(topic_change).where(*same, topic_change.c.cause != Cause.REVOCATION.value))
    times = first or {}
    shared = {"cause": cause.value, "begun": now, "mark": mark}
    new = [{**shared, "topic": of, "requested": min(times.get(of, now), now)} for of in topics]
    if new:
        db.execute(sa.insert(topic_change), new)


def forget(db: sa.Connection, topics: Collection[bytes]) -> None:
    """These topics are removed."""
    for portion in portions(topics):
        db.execute(sa.delete(topic_change).where(topic_change.c.topic.in_(portion)))


def is_due(db: sa.Connection, realm: Realm) -> bool:
    """Whether `look` has something to do."""
    return db.scalar(_any_moved(realm.format.all_report)) is not None


def look(db: sa.Connection, realm: Realm) -> list[Converged]:
    """Which topics have converged since the last look; of the others, the next member that is waited for.

    Who has a key keeps it, so no member is looked at twice: in all it is a look at each, however often this is called.
    """
    rows = db.execute(_moved(realm.format.all_report).order_by(topic_change.c.id).limit(AT_ONCE)).mappings().all()
    return [done for row in rows if (done := _look_at(db, realm, row)) is not None]


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take what was over long ago off the record."""
    db.execute(sa.delete(topic_change).where(topic_change.c.ended < realm.clock() - KEPT_S))


def page(db: sa.Connection, topic_id: bytes, before: int, limit: int) -> list[Change]:
    """Of a topic, the newest first; those before ``before``, if that is no 0."""
    mine = sa.select(topic_change).where(topic_change.c.topic == topic_id)
    if before:
        mine = mine.where(topic_change.c.id < before)
    return [_view(row) for row in db.execute(mine.order_by(topic_change.c.id.desc()).limit(limit)).mappings()]


def time_to_revoke(db: sa.Connection, realm: Realm, topic_row: Row) -> TimeToRevoke:
    """How quickly who was evicted from a topic is out."""
    mine = {"of": topic_row["id"]}
    oldest = db.scalar(_OLDEST, mine)
    took = [max(each, 0.0) for each in db.scalars(_RECENT, mine)]
    target = _target(realm, topic_row["revoke_within_s"])
    open_s = None if oldest is None else max(realm.clock() - oldest, 0.0)
    judged = [each for each in (open_s, *took[:1]) if each is not None]
    met = all(each <= target for each in judged) if target is not None and judged else None
    share = sorted(took)
    return TimeToRevoke(
        target_s=target,
        met=met,
        open_s=open_s,
        last_s=took[0] if took else None,
        p50_s=_at(share, 0.5),
        p95_s=_at(share, 0.95),
        max_s=share[-1] if share else None,
        revocations=len(took),
    )


def open_revocations(db: sa.Connection, realm: Realm) -> Open:
    """Of all topics together."""
    now = realm.clock()
    age = now - topic_change.c.requested
    limit = sa.func.coalesce(topic.c.revoke_within_s, realm.revoke_within_s)
    late = sa.func.sum(sa.case((age > limit, 1), else_=0))
    mine = [topic.c.id == topic_change.c.topic, topic_change.c.ended.is_(None)]
    mine.append(topic_change.c.cause == Cause.REVOCATION.value)
    number, too_late, oldest = db.execute(
        sa.select(sa.func.count(), late, sa.func.min(topic_change.c.requested)).where(*mine)
    ).one()
    return Open(int(number), int(too_late or 0), max(now - oldest, 0.0) if number else 0.0)


def converged(db: sa.Connection, realm: Realm, done: Converged) -> None:
    """Called once, in the transaction in which a topic is found to have converged: what follows from it."""
    events.tell(
        db,
        realm,
        events.Kind.TOPIC_CONVERGED,
        topic=done.name,
        seconds=round(done.took_s, 3),
        cause=done.cause.value,
        members=done.members,
        in_time=done.in_time,
    )
    if not done.in_time:
        log.warning("the key of %s took %.0f s to be revoked, which is longer than it should", done.name, done.took_s)


@cache
def _moved(all_report: bool) -> sa.Select[Any]:
    """Open changes of which the member that is waited for is no reason to wait any more, or nobody has looked yet."""
    waits = (
        sa.exists()
        .where(
            client.c.id == topic_change.c.waits_for,
            ACTIVE,
            membership.c.client == client.c.id,
            membership.c.topic == topic_change.c.topic,
            holdings.behind(all_report, topic_change.c.topic, topic_change.c.mark),
        )
        .correlate_except(client, membership)
    )
    return sa.select(topic_change).where(topic_change.c.ended.is_(None), ~waits)


@cache
def _any_moved(all_report: bool) -> sa.Select[Any]:
    return _moved(all_report).with_only_columns(topic_change.c.id).limit(1)


def _look_at(db: sa.Connection, realm: Realm, change: Row) -> Converged | None:
    stays = [holdings.MEMBER, ACTIVE, membership.c.topic == change["topic"]]
    # who came after it got this key with the membership, and knows none of before
    stays.append(membership.c.created <= change["begun"])
    of, mark = sa.literal(change["topic"], sa.LargeBinary), sa.literal(change["mark"], sa.BigInteger)
    next_one = (
        sa.select(client.c.id)
        .where(*stays, holdings.behind(realm.format.all_report, of, mark))
        .order_by(client.c.id)
        .limit(1)
    )
    if change["waits_for"] is not None:
        next_one = next_one.where(client.c.id > change["waits_for"])
    this = topic_change.c.id == change["id"]
    waits_for = db.scalar(next_one)
    if waits_for is not None:
        db.execute(sa.update(topic_change).where(this).values(waits_for=waits_for))
        return None
    name, target = db.execute(
        sa.select(topic.c.name, topic.c.revoke_within_s).where(topic.c.id == change["topic"])
    ).one()
    confirms = sa.case((sa.or_(client.c.reports, sa.literal(realm.format.all_report)), 0), else_=1)
    members, unheard = db.execute(
        sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(confirms), 0))
        .select_from(sa.join(membership, client, holdings.MEMBER))
        .where(*stays)
    ).one()
    now, cause = realm.clock(), Cause(change["cause"])
    numbers = {"members": int(members), "unheard": int(unheard)}
    db.execute(sa.update(topic_change).where(this).values(waits_for=None, ended=now, **numbers))
    took, limit = max(now - change["requested"], 0.0), _target(realm, target)
    in_time = cause is not Cause.REVOCATION or limit is None or took <= limit
    done = Converged(change["topic"], name, cause, took, **numbers, in_time=in_time)
    converged(db, realm, done)
    return done


def _target(realm: Realm, of_topic: float | None) -> float | None:
    return realm.revoke_within_s if of_topic is None else of_topic


def _at(ordered: list[float], share: float) -> float | None:
    """The least that ``share`` of all do not exceed."""
    return ordered[max(ceil(len(ordered) * share) - 1, 0)] if ordered else None


def _view(row: Row) -> Change:
    took = None if row["ended"] is None else max(row["ended"] - row["requested"], 0.0)
    return Change(
        id=row["id"],
        cause=Cause(row["cause"]),
        requested=row["requested"],
        begun=row["begun"],
        converged=row["ended"],
        took_s=took,
        members=row["members"],
        unheard=row["unheard"],
    )
