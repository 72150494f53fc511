# SPDX-License-Identifier: Apache-2.0
"""The log as rows: one chain for all replicas of a database, written in the very transactions that it tells of.

Each record carries a MAC, under the newest audit key, of the hash of all up to it (`e4c2.audit.records`). So who writes to the
database can neither change nor add one, and who knows a former key cannot either, for the next record under a newer one fixes what
was before. The head tells where the log ends: a row that grants something, so that nobody cuts the log off unseen (`e4c2.ledger`).
All writers of a database have their turns (`e4c2.store`), which is why one chain is enough, and its order is that of the commits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from e4c2.audit.records import DONE, Act, Record, beginning, changed, portions, stored_objects, texts
from e4c2.model import audit_head, audit_record
from e4c2.model import realm as realm_table
from e4c2.rows import Realm, Row, find_by, insert, plain, update
from e4core.errors import Tampered
from e4kms.records import canonical

P = ParamSpec("P")
T = TypeVar("T")

_ID = 1
_LINK, _REQUEST = b"e4 audit link v1", b"e4 audit request v1"
_FIELDS = tuple(field.name for field in fields(Record))
_INSERT = sa.insert(audit_record)
_COLUMNS = [audit_record.c[name] for name in _FIELDS]


@dataclass(frozen=True, slots=True)
class Place:
    """In the log: after record ``number``, with the hash of all up to it (32 B)."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Extent:
    """The records that are kept: those after ``base``, up to ``head``."""

    base: Place
    head: Place


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are wanted; times are Unix seconds, the first included. None: any."""

    principal: str | None = None
    action: str | None = None
    object: str | None = None
    outcome: str | None = None
    since: float | None = None
    until: float | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return [_CONDITIONS[name](value) for name, value in given.items() if value is not None]


def _of_principal(named: str) -> sa.ColumnElement[bool]:
    """Named whole, or by kind and id alone."""
    column, start = audit_record.c.principal, f"{named} "
    return sa.or_(column == named, sa.func.substr(column, 1, len(start)) == start)


def _of_object(named: str) -> sa.ColumnElement[bool]:
    # not LIKE, in which SQLite takes letters for the same that differ in case
    column = audit_record.c.objects
    return column != sa.func.replace(column, json.dumps(named), "")


_CONDITIONS: dict[str, Callable[[Any], sa.ColumnElement[bool]]] = {
    "principal": _of_principal,
    "action": lambda action: audit_record.c.action == action,
    "object": _of_object,
    "outcome": lambda outcome: audit_record.c.outcome == outcome,
    "since": lambda since: audit_record.c.time >= since,
    "until": lambda until: audit_record.c.time < until,
}


def begin(db: sa.Connection, realm: Realm) -> None:
    """The head of an empty log, made with the database, or with the tables in one that has none yet."""
    start = beginning(database_id(db))
    insert(db, realm, audit_head, id=_ID, number=0, hash=start, base_number=0, base_hash=start)


def is_begun(db: sa.Connection) -> bool:
    return db.scalar(sa.select(audit_head.c.id).where(audit_head.c.id == _ID)) is not None


def append(db: sa.Connection, realm: Realm, act: Act, outcome: str = DONE, count: int = 1) -> Record:
    """Record an act in its own transaction: what cannot be recorded does not happen. Raises: Tampered. KmsError."""
    head = _head(db, realm)
    record = Record(
        number=head["number"] + 1,
        time=realm.clock(),
        replica=realm.replica.hex(),
        objects=tuple(json.loads(stored_objects(act.objects))),
        count=count,
        digest=act.digest.hex(),
        **texts(act, outcome),
    )
    upto = record.follows(head["hash"])
    values = {name: getattr(record, name) for name in _FIELDS} | {
        "replica": realm.replica,
        "objects": json.dumps(record.objects),
        "digest": act.digest,
        "mac": realm.keyring.audit_mac(link(upto)),
    }
    db.execute(_INSERT, values)
    update(db, realm, audit_head, head, number=record.number, hash=upto)
    return record


def append_all(db: sa.Connection, realm: Realm, act: Act, outcome: str) -> None:
    """Record an act about many objects: all of them if it is done, in as many records as that takes. Raises: as `append`."""
    for objects in portions(act.objects) if outcome == DONE else [act.objects]:
        append(db, realm, replace(act, objects=objects), outcome)


def recorded(
    db: sa.Connection,
    realm: Realm,
    act: Act,
    use_case: Callable[Concatenate[sa.Connection, Realm, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Run a use case, and record the act that it is. Raises: what it raises."""
    result = use_case(db, realm, *args, **kwargs)
    append(db, realm, act)
    return result


def digest(realm: Realm, request: bytes) -> bytes:
    """What a request is known by in the log, 36 B: keyed, so that nobody tries guesses of what was in it. Args: 32 B of a hash."""
    return realm.keyring.audit_mac(canonical(_REQUEST, request))


def link(upto: bytes) -> bytes:
    """What the MAC of a record is over."""
    return canonical(_LINK, upto)


def extent(db: sa.Connection, realm: Realm) -> Extent:
    """Raises: Tampered."""
    head = _head(db, realm)
    return Extent(Place(head["base_number"], head["base_hash"]), Place(head["number"], head["hash"]))


def page(db: sa.Connection, _realm: Realm, wanted: Filter, after: int = 0, limit: int = 100) -> list[Record]:
    """Records by number, those after ``after``. Raises: Tampered: one is none."""
    statement = sa.select(*_COLUMNS).where(audit_record.c.number > after, *wanted.conditions())
    return [record_of(row) for row in plain(db.execute(statement.order_by(audit_record.c.number).limit(limit)).all())]


def cut(db: sa.Connection, realm: Realm, base: Place) -> None:
    """Keep no record up to this place, which somebody has made sure is one of the log."""
    db.execute(sa.delete(audit_record).where(audit_record.c.number <= base.number))
    update(db, realm, audit_head, _head(db, realm), base_number=base.number, base_hash=base.hash)


def record_of(row: Row) -> Record:
    """From the columns of a record. Raises: Tampered (`CHANGED`): it holds what is never written there."""
    try:
        parsed = {"replica": row["replica"].hex(), "digest": row["digest"].hex(), "objects": json.loads(row["objects"])}
        return Record.parse({**row, **parsed})
    except (AttributeError, TypeError, ValueError, RecursionError, Tampered):
        raise changed(row["number"]) from None


def database_id(db: sa.Connection) -> bytes:
    found: bytes = db.scalars(sa.select(realm_table.c.database_id)).one()
    return found


def _head(db: sa.Connection, realm: Realm) -> Row:
    head = find_by(db, realm, audit_head, audit_head.c.id, _ID)
    if head is None:
        raise Tampered("the head of the audit log is gone from the database; restore it from a backup")
    return head
