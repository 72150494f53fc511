# SPDX-License-Identifier: Apache-2.0
"""How long deliveries stay on record: nothing that is of use to nobody is kept, and nothing is forgotten that is still to be done.

A rotation adds a delivery for each member, so what devices have done anew leaves early; its operation goes on counting it.
"""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import graces
from e4c2.commands import TO_REPORTER
from e4c2.model import Delivery, Kind, operation, outbox
from e4c2.rows import Realm

KEPT_S = 30 * 24 * 3600
"""How long deliveries that are done stay on record: no shorter than the longest grace."""
OVERTAKEN_KEPT_S = 24 * 3600
"""And those after which the device has done the same anew."""
_NEWER = outbox.alias("newer")
_SAME = [_NEWER.c[name] == outbox.c[name] for name in ("client", "kind", "object")]
_CONFIRMED, _SENT = Delivery.CONFIRMED.value, Delivery.SENT.value
_DONE_ANEW = ((_CONFIRMED,), sa.true()), ((_CONFIRMED, _SENT), ~TO_REPORTER)
"""States in which a delivery is done, and where; to who never reports, what was sent is as good as that can be."""


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take what has long been done off the record."""
    before = realm.clock() - KEPT_S
    if realm.format.fixed_grace_s is None:
        graces.end(db, before)
    undone = outbox.c.state.in_((Delivery.PENDING.value, Delivery.SENDING.value))
    db.execute(sa.delete(outbox).where(outbox.c.created < before, ~undone, ~_awaited()))
    empty = ~sa.exists().where(outbox.c.operation == operation.c.id)
    db.execute(sa.delete(operation).where(operation.c.created < before, empty))


def thin(db: sa.Connection, realm: Realm) -> None:
    """Take off the record what devices have done since anew: topics, next keys and peers of others.

    What erases a former key stays until another that does so is done. Costs a look at each delivery on record.
    """
    before = realm.clock() - OVERTAKEN_KEPT_S
    old = [outbox.c.created < before, outbox.c.kind.in_((Kind.TOPIC.value, Kind.NEXT.value, Kind.PEER.value))]
    # a second of the future was used while the clock ran ahead, and is known to be used (`e4c2.clocks`)
    old.append(sa.or_(outbox.c.second.is_(None), outbox.c.second < before))
    for done, where in _DONE_ANEW:
        later = [_NEWER.c.id > outbox.c.id, _NEWER.c.state.in_(done), sa.or_(_NEWER.c.purge, ~outbox.c.purge)]
        over = outbox.c.state.in_((*done, Delivery.SUPERSEDED.value))
        _forget(db, *old, over, where, sa.exists().where(*_SAME, *later))


def _forget(db: sa.Connection, *which: sa.ColumnElement[bool]) -> None:
    by = (outbox.c.operation, outbox.c.state)
    for of, state, count in db.execute(sa.select(*by, sa.func.count()).where(*which).group_by(*by)).all():
        counted = operation.c[state] + count
        db.execute(sa.update(operation).where(operation.c.id == of).values({state: counted}))
    db.execute(sa.delete(outbox).where(*which))


def _awaited() -> sa.ColumnElement[bool]:
    """Sent, still to be confirmed, and the last of its object: without it nobody would know that the device may not have it."""
    is_last = ~sa.exists().where(*_SAME, _NEWER.c.id > outbox.c.id)
    keys = outbox.c.kind.in_((Kind.ID_KEY.value, Kind.C2_KEY.value))
    unanswered = outbox.c.state.in_((_SENT, Delivery.EXPIRED.value))
    return sa.and_(unanswered, sa.or_(keys, TO_REPORTER), is_last)
