# SPDX-License-Identifier: Apache-2.0
"""How long deliveries stay on record: nothing that is of use to nobody is kept, and nothing is forgotten that is still to be done.

A rotation adds a delivery for each member, so what devices have done anew leaves early; its operation goes on counting it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

import sqlalchemy as sa

from e4c2 import graces
from e4c2.columns import among
from e4c2.commands import TO_REPORTER
from e4c2.holdings import done
from e4c2.model import OFF_RECORD, Delivery, Kind, client, operation, outbox
from e4c2.rows import Realm
from e4c2.setwise import Setwise

KEPT_S = 30 * 24 * 3600
"""How long deliveries that are done stay on record: no shorter than the longest grace."""
OVERTAKEN_KEPT_S = 24 * 3600
"""And those after which the device has done the same anew."""
DEVICES_AT_ONCE = 100
_OVER = outbox.c.state.in_(OFF_RECORD)


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take what has long been done off the record."""
    before = realm.clock() - KEPT_S
    if realm.format.fixed_grace_s is None:
        graces.end(db, before)
    undone = outbox.c.state.in_((Delivery.PENDING.value, Delivery.SENDING.value))
    db.execute(sa.delete(outbox).where(outbox.c.created < before, ~undone, ~_awaited()))
    empty = ~sa.exists().where(outbox.c.operation == operation.c.id)
    db.execute(sa.delete(operation).where(operation.c.created < before, empty))


def overtaken(db: sa.Connection, realm: Realm, after: bytes = b"") -> tuple[list[int], bytes | None]:
    """What some devices have done anew since, by number: it may leave the record. What erases a former key may only if another did.

    Args: after: id of the client to begin after; the second answer is where to go on, None: those were all.
    """
    some = sa.select(client.c.id).where(client.c.id > after).order_by(client.c.id).limit(DEVICES_AT_ONCE)
    devices = list(db.scalars(some))
    if not devices:
        return [], None
    given = {"first": devices[0], "last": devices[-1], "before": realm.clock() - OVERTAKEN_KEPT_S}
    return list(db.scalars(_overtaken(realm.format.all_report), given)), devices[-1]


def forget(db: sa.Connection, numbers: Sequence[int]) -> None:
    """Take these off the record, unless they are to be sent again, or have expired. Args: numbers: few enough for one statement."""
    which = [among(db, outbox.c.id, numbers), _OVER]
    rows = db.execute(sa.select(outbox.c.operation, outbox.c.state).where(*which))
    found = Counter((of, state) for of, state in rows if of is not None)
    for state, count in _COUNTS.items():
        count(db, [{"of": of, "more": n} for (of, was), n in found.items() if was == state])
    db.execute(sa.delete(outbox).where(*which))


@cache
def _overtaken(all_report: bool) -> sa.Select[int]:
    """Made of one look at all deliveries of each device, as databases plan a look for each of them badly."""
    mine = sa.and_(outbox.c.client == client.c.id, client.c.id.between(sa.bindparam("first"), sa.bindparam("last")))
    same = (outbox.c.client, outbox.c.kind, outbox.c.object)
    is_done = done(outbox, all_report)
    newest = sa.func.max(sa.case((is_done, outbox.c.id))).label("newest")
    erases = sa.func.max(sa.case((sa.and_(is_done, outbox.c.purge), outbox.c.id))).label("erases")
    several = sa.select(*same, newest, erases).where(mine).group_by(*same).having(sa.func.count() > 1).subquery().c
    join = [several[of.name] == of for of in same]
    last = sa.case((outbox.c.purge, several.erases), else_=several.newest)
    over = sa.or_(outbox.c.state == Delivery.SUPERSEDED.value, is_done)
    old = [outbox.c.created < sa.bindparam("before"), outbox.c.id < last]
    return sa.select(outbox.c.id).where(mine, *join, over, *old).order_by(outbox.c.id)


def _counting(state: str) -> Setwise:
    counted = operation.c[state]
    return Setwise(
        {"of": operation.c.id.type, "more": counted.type},
        lambda of: sa.update(operation).where(operation.c.id == of["of"]).values({state: counted + of["more"]}),
    )


_COUNTS = {state.value: _counting(state.value) for state in OFF_RECORD}


def _awaited() -> sa.ColumnElement[bool]:
    """Sent, still to be confirmed, and the last of its object: without it nobody would know that the device may not have it."""
    newer = outbox.alias("newer")
    same = [newer.c[name] == outbox.c[name] for name in ("client", "kind", "object")]
    is_last = ~sa.exists().where(*same, newer.c.id > outbox.c.id)
    keys = outbox.c.kind.in_((Kind.ID_KEY.value, Kind.C2_KEY.value))
    unanswered = outbox.c.state.in_((Delivery.SENT.value, Delivery.EXPIRED.value))
    return sa.and_(unanswered, sa.or_(keys, TO_REPORTER), is_last)
