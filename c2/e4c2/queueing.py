# SPDX-License-Identifier: Apache-2.0
"""New deliveries, of any number of devices and objects by a handful of statements, and what they take the place of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from e4c2.model import Delivery, Kind, Status, client, link, membership, outbox
from e4c2.rows import Realm


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Where devices and their objects stand: a delivery of ``kind`` brings ``what`` at the client ``who`` to the present."""

    kind: Kind
    who: sa.ColumnElement[bytes]
    what: sa.ColumnElement[bytes]
    where: tuple[sa.ColumnElement[bool], ...] = ()


ACTIVE = client.c.status == Status.ACTIVE.value
TOPICS = Objects(Kind.TOPIC, membership.c.client, membership.c.topic, (client.c.id == membership.c.client, ACTIVE))
NEXTS = Objects(Kind.NEXT, membership.c.client, membership.c.topic, (client.c.id == membership.c.client, ACTIVE))
PEERS = Objects(Kind.PEER, link.c.holder, link.c.peer, (client.c.id == link.c.holder, ACTIVE))
_TARGET = sa.bindparam("target", type_=sa.LargeBinary)
AT = {kind: Objects(kind, client.c.id, _TARGET) for kind in Kind}

# Made once, as it takes longer to make these statements than to run them
_OPERATION, _NOW = sa.bindparam("of", type_=sa.LargeBinary), sa.bindparam("now", type_=sa.Float)
_LAST = sa.bindparam("last", type_=sa.BigInteger)
_WAITS = outbox.c.state == Delivery.PENDING.value
_NEWER = outbox.alias("newer")
_REPLACED = sa.exists().where(
    _NEWER.c.client == outbox.c.client,
    _NEWER.c.kind == outbox.c.kind,
    _NEWER.c.object == outbox.c.object,
    _NEWER.c.id > _LAST,
)
_REPLACE = (
    sa.update(outbox)
    .where(outbox.c.id <= _LAST, _WAITS, outbox.c.kind == sa.bindparam("of"), _REPLACED)
    .values(state=Delivery.SUPERSEDED.value)
)
_TOLD = outbox.c.client.in_(sa.select(outbox.c.client).where(outbox.c.id > _LAST))
_RESUME = sa.update(outbox).where(_WAITS, outbox.c.not_before > _NOW, _TOLD).values(not_before=0.0)


@cache
def _deliveries(of: Objects, purge: bool, all_report: bool) -> tuple[list[str], sa.Select[Any]]:
    """Columns of the outbox, and what selects new rows for them; a purge that is not known to be done is inherited."""
    waiting, done = outbox.alias("waiting"), outbox.alias("done")
    same = [waiting.c.client == of.who, waiting.c.kind == of.kind.value, waiting.c.object == of.what]
    later = [done.c[name] == waiting.c[name] for name in ("client", "kind", "object")]
    later += [done.c.id > waiting.c.id, done.c.purge == sa.true(), done.c.state == Delivery.CONFIRMED.value]
    unsent = waiting.c.state.in_((Delivery.PENDING.value, Delivery.SENDING.value))
    unanswered = waiting.c.state.in_((Delivery.SENT.value, Delivery.EXPIRED.value))
    unconfirmed = unanswered if all_report else sa.and_(unanswered, client.c.reports)
    owed = [waiting.c.purge == sa.true(), sa.or_(unsent, unconfirmed), ~sa.exists().where(*later)]
    inherited = sa.exists().where(*same, *owed)
    columns: dict[str, sa.ColumnElement[Any]] = {
        "client": of.who,
        "kind": sa.literal(of.kind.value),
        "object": of.what,
        "purge": sa.literal(True) if purge else inherited,
        "state": sa.literal(Delivery.PENDING.value),
        "operation": _OPERATION,
        "created": _NOW,
        "not_before": sa.literal(0.0),
        "attempts": sa.literal(0),
    }
    return list(columns), sa.select(*columns.values()).where(*of.where)


def newest(db: sa.Connection) -> int:
    """The number of the delivery that was added last, 0: there is none."""
    return db.scalar(sa.select(sa.func.max(outbox.c.id))) or 0


def insert(
    db: sa.Connection,
    realm: Realm,
    operation_id: bytes | None,
    of: Objects,
    parts: Collection[sa.ColumnElement[bool]],
    before: Collection[sa.ColumnElement[bool]] = (),
    purge: bool = False,
    target: bytes = b"",
) -> None:
    """Insert first, then supersede what waited before for the same.

    Args: parts: of whom and what, one after the other.  before: what of the outbox they may supersede, where that is little.
    """
    last = newest(db)
    now = realm.clock()
    columns, deliveries = _deliveries(of, purge, realm.format.all_report)
    for part in parts:
        statement = sa.insert(outbox).from_select(columns, deliveries.where(part))
        db.execute(statement, {"of": operation_id, "now": now, "target": target})
    db.execute(_REPLACE.where(*before), {"last": last, "of": of.kind.value})
    if of.kind is not Kind.SYNC:  # anybody can bring one about, with a hello of long ago
        # nothing new is kept waiting by what was tried in vain
        db.execute(_RESUME, {"last": last, "now": now})
