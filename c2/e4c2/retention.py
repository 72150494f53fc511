# SPDX-License-Identifier: Apache-2.0
"""How long deliveries stay on record: nothing that is of use to nobody is kept, and nothing is forgotten that is still to be done.

A rotation adds a delivery for each member, so what devices have done anew leaves early; its operation goes on counting it.
"""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from e4c2 import graces
from e4c2.columns import among, portions
from e4c2.commands import TO_REPORTER
from e4c2.model import Delivery, Kind, operation, outbox
from e4c2.rows import Realm

KEPT_S = 30 * 24 * 3600
"""How long deliveries that are done stay on record: no shorter than the longest grace."""
OVERTAKEN_KEPT_S = 24 * 3600
"""And those after which the device has done the same anew."""
AT_ONCE = 1000
"""In one transaction, so that others who write are not kept waiting."""
_NEWER = outbox.alias("newer")
_SAME = [_NEWER.c[name] == outbox.c[name] for name in ("client", "kind", "object")]


def _done_anew(*done: Delivery) -> sa.ColumnElement[bool]:
    """Args: done: states of what is done."""
    over = outbox.c.state.in_([*done, Delivery.SUPERSEDED])
    later = [_NEWER.c.id > outbox.c.id, _NEWER.c.state.in_(done), sa.or_(_NEWER.c.purge, ~outbox.c.purge)]
    return sa.and_(over, sa.exists().where(*_SAME, *later))


# to who never reports, what was sent is done as far as anybody knows
_AS_FAR_AS_KNOWN = sa.and_(_done_anew(Delivery.CONFIRMED, Delivery.SENT), ~TO_REPORTER)
_DONE_ANEW = sa.or_(_done_anew(Delivery.CONFIRMED), _AS_FAR_AS_KNOWN)


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take what has long been done off the record."""
    before = realm.clock() - KEPT_S
    if realm.format.fixed_grace_s is None:
        graces.end(db, before)
    undone = outbox.c.state.in_((Delivery.PENDING.value, Delivery.SENDING.value))
    db.execute(sa.delete(outbox).where(outbox.c.created < before, ~undone, ~_awaited()))
    empty = ~sa.exists().where(outbox.c.operation == operation.c.id)
    db.execute(sa.delete(operation).where(operation.c.created < before, empty))


def thin(db: sa.Connection, realm: Realm, after: int = 0) -> int | None:
    """Take some of what devices have done anew since off the record, by number; what erases a former key stays until another does.

    Args: after: where to begin; the answer is where to go on, None: that was all.
    """
    found = [outbox.c.created < realm.clock() - OVERTAKEN_KEPT_S, outbox.c.id > after, _DONE_ANEW]
    which = sa.select(outbox.c.id, outbox.c.operation, outbox.c.state).where(*found)
    rows = db.execute(which.order_by(outbox.c.id).limit(AT_ONCE)).all()
    for (of, state), count in Counter((of, state) for _, of, state in rows).items():
        counted = operation.c[state] + count
        db.execute(sa.update(operation).where(operation.c.id == of).values({state: counted}))
    for ids in portions(number for number, *_ in rows):
        db.execute(sa.delete(outbox).where(among(db, outbox.c.id, ids)))
    return rows[-1].id if len(rows) == AT_ONCE else None


def _awaited() -> sa.ColumnElement[bool]:
    """Sent, still to be confirmed, and the last of its object: without it nobody would know that the device may not have it."""
    is_last = ~sa.exists().where(*_SAME, _NEWER.c.id > outbox.c.id)
    keys = outbox.c.kind.in_((Kind.ID_KEY.value, Kind.C2_KEY.value))
    unanswered = outbox.c.state.in_((Delivery.SENT.value, Delivery.EXPIRED.value))
    return sa.and_(unanswered, sa.or_(keys, TO_REPORTER), is_last)
