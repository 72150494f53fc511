# SPDX-License-Identifier: Apache-2.0
"""The log of events. Who has read up to a number finds all that follows, or is told that some of it is kept no more.

Numbers have gaps, where a transaction was undone, and never come twice.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2.model import EventKind, event
from e4c2.rows import Realm, Row, strange, typed
from e4core.errors import NotFound

Value = str | int | float | bool | None

EACH_MAX = 20
"""Clients or topics of one change that have an event each; of more there is one, with their number."""
PRUNED_AT_ONCE = 10_000
"""In one transaction, so that others who write are not kept waiting."""
GONE = "gone"

_INSERT = sa.insert(event)
_FIRST = sa.select(sa.func.min(event.c.id)).scalar_subquery()
_LAST = sa.select(sa.func.max(event.c.id)).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened; ``client`` and ``topic``: names, of what it is about. It never holds a secret."""

    id: int
    kind: str
    created: float
    client: str | None
    topic: str | None
    data: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that is to be told; as `tell` takes it."""

    kind: EventKind
    client: str | None
    topic: str | None
    data: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Span:
    """Some events in order, and the number up to which there are no others of their sort."""

    events: list[Event]
    upto: int


def tell(
    db: sa.Connection,
    realm: Realm,
    kind: EventKind,
    /,
    *,
    client: str | None = None,
    topic: str | None = None,
    **data: Value,
) -> None:
    """Something happens with this transaction, or not at all. Args: data: 4,000 characters of JSON at most, no secret."""
    record(db, realm, [Happening(kind, client, topic, data)])


def tell_each(
    db: sa.Connection,
    realm: Realm,
    kind: EventKind,
    /,
    *,
    clients: Collection[str] | None = None,
    topics: Collection[str] | None = None,
    topic: str | None = None,
    **data: Value,
) -> None:
    """The same happens to several ``clients`` (of one ``topic``) or ``topics``: an event each, or one with their ``count``."""
    column, names = ("client", clients) if clients is not None else ("topic", topics or ())
    if len(names) > EACH_MAX:
        told = [Happening(kind, None, topic, {**data, "count": len(names)})]
    else:
        told = [Happening(kind, **{"client": None, "topic": topic, column: name}, data=data) for name in names]
    record(db, realm, told)


def record(db: sa.Connection, realm: Realm, these: Collection[Happening]) -> None:
    """Tell several things at once."""
    now = realm.clock()
    told = [{"client": each.client, "topic": each.topic, "data": json.dumps(dict(each.data))} for each in these]
    rows = [{"kind": of.kind.value, "created": now, **each} for of, each in zip(these, told, strict=True)]
    if rows:
        db.execute(_INSERT, rows)


def page(
    db: sa.Connection,
    _realm: Realm,
    after: int | None,
    limit: int,
    kinds: Collection[EventKind] = (),
    *which: sa.ColumnElement[bool],
) -> Span:
    """Those after number ``after``, oldest first; None or 0: from the oldest that is kept. Args: kinds: none for all.

    Raises: NotFound (``gone``): what follows ``after`` is kept no more, or was never told here. Tampered.
    """
    first, last = db.execute(sa.select(_FIRST, _LAST)).one()
    if after and not (first or 0) <= after <= (last or 0):
        raise NotFound(f"events after {after} are not kept here; begin again without it, at {first or 0}", kind=GONE)
    wanted = [event.c.kind.in_([kind.value for kind in kinds])] if kinds else []
    statement = sa.select(event).where(event.c.id > (after or 0), *wanted, *which).order_by(event.c.id).limit(limit)
    events = [_view(typed(event, row)) for row in db.execute(statement).mappings()]
    return Span(events, events[-1].id if len(events) == limit else last or 0)


def newest(db: sa.Connection) -> int:
    """Number of the last event; 0: there is none."""
    return db.scalar(sa.select(_LAST)) or 0


def prune(db: sa.Connection, realm: Realm, kept_s: float, at_once: int = PRUNED_AT_ONCE) -> bool:
    """Forget a portion of what is older; whether there is more. The newest of it stays: who has read up to that missed nothing."""
    over = db.scalar(sa.select(sa.func.max(event.c.id)).where(event.c.created < realm.clock() - kept_s))
    if over is None:
        return False
    portion = sa.select(event.c.id).where(event.c.id < over).order_by(event.c.id).offset(at_once).limit(1)
    end = db.scalar(portion)
    db.execute(sa.delete(event).where(event.c.id < (end or over)))
    return end is not None


def _view(row: Row) -> Event:
    try:
        data = json.loads(row["data"])
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise strange(event)
    return Event(row["id"], row["kind"], row["created"], row["client"], row["topic"], data)
