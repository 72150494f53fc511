# SPDX-License-Identifier: Apache-2.0
"""Which member has which key of a topic, as far as is known.

A delivery that a device has confirmed was done. One that was sent to a device of Format 1 that never reports is as good as that
can be; silence is no confirmation in Format 2, where all devices report.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa

from e4c2.access.patterns import Patterns
from e4c2.model import Delivery, Kind, client, membership, outbox, topic
from e4c2.queueing import ACTIVE
from e4c2.rows import Realm

_OVER = (Delivery.CONFIRMED.value, Delivery.SUPERSEDED.value)
MEMBER = client.c.id == membership.c.client
_UNDONE = outbox.alias("undone")


@dataclass(frozen=True, slots=True)
class Laggard:
    """A member that is not known to have the present key; ``state`` and ``since`` are those of the delivery it is to come with."""

    name: str
    id: str
    reports: bool
    state: Delivery
    since: float
    last_report: float | None


@dataclass(frozen=True, slots=True)
class Holding:
    """``key``: where the client stands with the present key, in the words of `Count`.

    ``state``: of the delivery that is to bring it to one that is ``behind``.  ``since``: when the last delivery was made; None: it
    is off the record, or there is none.
    """

    topic: str
    id: str
    key: Literal["confirmed", "sent", "behind", "suspended"]
    state: Delivery | None
    since: float | None


@dataclass(frozen=True, slots=True)
class Count:
    """Members by what they have; one that is suspended is sent nothing, and counts as nothing else."""

    confirmed: int
    sent: int
    behind: int
    suspended: int


def done(of: sa.FromClause, all_report: bool) -> sa.ColumnElement[bool]:
    """Whether a delivery to the client of the statement has arrived, as far as can be known."""
    confirmed = of.c.state == Delivery.CONFIRMED.value
    if all_report:
        return confirmed
    return sa.or_(confirmed, sa.and_(of.c.state == Delivery.SENT.value, client.c.reports.is_(False)))


def open_(of: sa.FromClause, all_report: bool) -> sa.ColumnElement[bool]:
    """Whether it is still to arrive, or was refused or given up."""
    return sa.and_(of.c.state.not_in(_OVER), ~done(of, all_report))


def behind(all_report: bool, of: sa.ColumnElement[bytes], mark: sa.ColumnElement[int]) -> sa.ColumnElement[bool]:
    """Whether the client of the statement has had no key of the topic ``of`` since the delivery ``mark``, and is to get one."""
    undone, brought = outbox.alias("undone"), outbox.alias("brought")
    late = sa.exists().where(*_same(undone, client.c.id, of), undone.c.id > mark, open_(undone, all_report))
    here = sa.exists().where(*_same(brought, client.c.id, of), brought.c.id > mark, done(brought, all_report))
    # all else is of statements further out, not only of the next one
    return sa.and_(late.correlate_except(undone), ~here.correlate_except(brought))


def count(db: sa.Connection, realm: Realm, topic_id: bytes) -> Count:
    """Members of a topic by what they have: two look-ups for each."""
    found = {"confirmed": 0, "sent": 0, "behind": 0, "suspended": 0}
    for reports, is_active, is_late, number in db.execute(_counting(realm.format.all_report), {"of": topic_id}):
        confirms = reports or realm.format.all_report
        kind = "behind" if is_late else "confirmed" if confirms else "sent"
        found[kind if is_active else "suspended"] += number
    return Count(**found)


@cache
def _counting(all_report: bool) -> sa.Select[Any]:
    """Made once, as it takes longer to make it than to run it."""
    is_late = sa.exists().where(*_latest(all_report, client.c.id, membership.c.topic))
    late = is_late.correlate_except(_UNDONE).label("late")
    each = sa.select(client.c.reports, ACTIVE.label("active"), late)
    kinds = each.where(MEMBER, membership.c.topic == sa.bindparam("of")).subquery().c
    by = (kinds.reports, kinds.active, kinds.late)
    return sa.select(*by, sa.func.count()).group_by(*by)


def laggards(db: sa.Connection, realm: Realm, topic_id: bytes, after: str, limit: int, seen: Patterns) -> list[Laggard]:
    """Active members of a topic that are not known to have its present key, by name."""
    wanted = (client.c.name, client.c.id, client.c.reports, _UNDONE.c.state, _UNDONE.c.created, client.c.last_report)
    mine = sa.select(*wanted).where(MEMBER, ACTIVE, membership.c.topic == topic_id, client.c.name > after)
    late = _latest(realm.format.all_report, client.c.id, membership.c.topic)
    rows = db.execute(mine.where(*late, seen.where(client.c.name)).order_by(client.c.name).limit(limit))
    return [
        Laggard(name, identity.hex(), bool(reports), Delivery(state), since, last)
        for name, identity, reports, state, since, last in rows
    ]


def of_client(
    db: sa.Connection, realm: Realm, client_id: bytes, after: str, limit: int, seen: Patterns
) -> list[Holding]:
    """Topics that a client is a member of, by name, and whether it has their present keys."""
    newest = outbox.alias("newest")
    last = sa.select(sa.func.max(newest.c.id)).where(*_same(newest, client.c.id, topic.c.id)).correlate(client, topic)
    is_last = sa.and_(outbox.c.client == client.c.id, outbox.c.id == last.scalar_subquery())
    wanted = (topic.c.name, topic.c.id, client.c.reports, ACTIVE, outbox.c.state, outbox.c.created)
    joined = membership.join(topic, topic.c.id == membership.c.topic).join(client, MEMBER)
    mine = sa.select(*wanted).select_from(joined.outerjoin(outbox, is_last))
    mine = mine.where(client.c.id == client_id, topic.c.name > after, seen.where(topic.c.name))
    rows = db.execute(mine.order_by(topic.c.name).limit(limit))
    return [_holding(name, of, reports or realm.format.all_report, *rest) for name, of, reports, *rest in rows]


def _holding(name: str, of: bytes, confirms: bool, is_active: bool, state: str | None, since: float | None) -> Holding:
    if not is_active:  # what was sent to it last is a key of before, whatever became of it
        return Holding(name, of.hex(), "suspended", None, None)
    if state is None or state in _OVER:  # none: it was long ago
        return Holding(name, of.hex(), "confirmed" if confirms else "sent", None, since)
    if state == Delivery.SENT and not confirms:
        return Holding(name, of.hex(), "sent", None, since)
    return Holding(name, of.hex(), "behind", Delivery(state), since)


def _latest(
    all_report: bool, of: sa.ColumnElement[bytes], target: sa.ColumnElement[bytes]
) -> list[sa.ColumnElement[bool]]:
    """What holds of the last delivery of a key, `_UNDONE`, where it is still to arrive."""
    newer = outbox.alias("newer")
    later = sa.exists().where(*_same(newer, _UNDONE.c.client, _UNDONE.c.object), newer.c.id > _UNDONE.c.id)
    return [*_same(_UNDONE, of, target), open_(_UNDONE, all_report), ~later.correlate_except(newer)]


def _same(
    of: sa.FromClause, who: sa.ColumnElement[bytes], what: sa.ColumnElement[bytes]
) -> list[sa.ColumnElement[bool]]:
    return [of.c.client == who, of.c.kind == Kind.TOPIC.value, of.c.object == what]
