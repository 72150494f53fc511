# SPDX-License-Identifier: Apache-2.0
"""Rows that grant something: written with a MAC and a generation, checked whenever they are read for use.

Who can write to the database can neither forge one, nor swap what is in two of them, nor put one back to an older state together
with its MAC: it is not valid any more (`e4c2.roll`). That one is missing is found by `e4c2.ledger`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from e4c2 import ledger
from e4c2.columns import MARIADB, PAIR, given, pairs_given, portions, takes_array
from e4c2.format import Format
from e4c2.model import GRANTING, LATER, SEALED, metadata
from e4c2.setwise import Given, Setwise
from e4c2.token_keys import TokenKeys
from e4core.errors import Conflict, Tampered
from e4core.formats import AnyClient
from e4core.keys import Secret
from e4core.message import GRACE_S
from e4core.suite import Channel, Suite
from e4kms.keyring import Keyring
from e4kms.records import AuthorityRow, Cell, Field, canonical

Row = Mapping[Any, Any]
T = TypeVar("T")


def _types(column: sa.Column[Any]) -> tuple[type, ...]:
    held = column.type.python_type
    return (held, type(None)) if column.nullable else (held,)


class Kept(Generic[T]):
    """What is costly to make again, `MOST` at a time; from any thread, as a dict's own operations are atomic."""

    MOST = 20_000

    def __init__(self) -> None:
        self._made: dict[Hashable, T] = {}

    def clear(self) -> None:
        self._made.clear()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        made = self._made.get(key)
        if made is None:
            made = make()
            if len(self._made) >= self.MOST:
                self._made.clear()
            self._made[key] = made
        return made


_PRIMARY = {table.name: tuple(column.name for column in table.primary_key) for table in metadata.sorted_tables}
_CHECKED = {name: ("generation", "mac", *_PRIMARY[name], *columns) for name, columns in GRANTING.items()}
_GRANTED = {
    name: itemgetter(*map(list(metadata.tables[name].c.keys()).index, columns)) for name, columns in _CHECKED.items()
}
"""Table -> from a row as selected: generation, MAC, primary key, granting columns."""
_TYPES = {name: tuple(_types(metadata.tables[name].c[column]) for column in _CHECKED[name]) for name in GRANTING}
"""Table -> what each of these may be; a database may hold something else, as SQLite does whatever is written to it."""
_READ = {name: (*_PRIMARY[name], "generation") for name in GRANTING}
"""Table -> what tells a row as it was read."""
_STORED = {table.name: {column.name: _types(column) for column in table.c} for table in metadata.sorted_tables}
"""Table -> column -> what it may be."""


EXPIRES_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Realm:
    """What every use case needs beside its connection: the fleet's suite, the unwrapped keys, the clock (Unix seconds)."""

    suite: Suite
    keyring: Keyring
    clock: Callable[[], float]
    token_keys: TokenKeys | None
    """Where the C2's own private keys are made, if not in the database."""
    format: Format[Realm] = field(repr=False)
    grace_s: int = GRACE_S
    """For which what was protected under the former key of a topic or a peer is still read after a routine change."""
    expires_s: float = EXPIRES_S
    """After which a device is not expected any more to answer what it was sent."""
    replica: bytes = field(default_factory=partial(os.urandom, 16))
    """Which of the C2 processes on one database this is; 16 bytes."""
    evictions_wait_s: float = 0
    """For which a topic that somebody left waits for others to leave before it gets another key, unless told otherwise."""
    revoke_within_s: float | None = None
    """How long a revocation is to take at most, of topics that say nothing else."""
    channels: Kept[Channel] = field(default_factory=Kept, repr=False, compare=False)
    """To devices, ready for use: making one opens a record, and in public-key suites costs a point multiplication."""
    members: Kept[AnyClient] = field(default_factory=Kept, repr=False, compare=False)
    """As which this process protects messages, of one key of a topic each; used where it writes alone, so one at a time."""
    verified: Kept[bool] = field(default_factory=Kept, repr=False, compare=False)
    """Rows, each with its MAC, that this keyring has verified: what was right of the very same bytes once is so for good."""
    confirmed: Callable[[float], object] = field(default=lambda _seconds: None, repr=False, compare=False)
    """Told of each command that a device answers as done: how long after it was ordered, in seconds."""
    astray: dict[bytes, int] = field(default_factory=dict, repr=False, compare=False)
    """Clients that do not hold what they should -> how often they were caught up in vain."""

    def answered(self, ordered: object) -> None:
        """A device has done what was ordered then, Unix seconds; what is no time tells nothing, as it is under no MAC."""
        if isinstance(ordered, float):
            self.confirmed(self.clock() - ordered)

    def close(self) -> None:
        """Forget all keys, and what was made of them; after this every use is a KmsError."""
        self.keyring.close()
        self._forget()
        if self.token_keys is not None:
            self.token_keys.close()

    def expire(self) -> None:
        """Forget them until the keyring is renewed."""
        self.keyring.expire()
        self._forget()

    def _forget(self) -> None:
        self.channels.clear()
        self.members.clear()
        self.verified.clear()


def insert(db: sa.Connection, realm: Realm, table: sa.Table, **values: Any) -> Row:
    """Insert one row, its `SEALED` values given in clear. Raises: Conflict: its key exists."""
    return insert_all(db, realm, table, [values])[0]


def insert_all(db: sa.Connection, realm: Realm, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Insert rows that name the same columns, all or none. Raises: Conflict: the key of one exists, or comes twice."""
    new: list[Row] = []
    for row in rows:
        identity = row_id(table, row)
        new.append(_granting(realm, table, identity, {**_seal(realm, table, identity, row), "generation": 1}))
    if not new:
        return new
    try:
        with db.begin_nested():
            db.execute(sa.insert(table), new)
    except sa.exc.IntegrityError as error:
        raise Conflict(f"this {table.name.replace('_', ' ')} exists already") from error
    ledger.shift(db, realm.keyring, added=[row["mac"] for row in new])
    return new


def update(db: sa.Connection, realm: Realm, table: sa.Table, row: Row, **changes: Any) -> Row:
    """Change a row that was read for use, its `SEALED` values given in clear. Raises: Conflict: changed meanwhile."""
    return update_all(db, realm, table, [(row, changes)])[0]


def update_all(
    db: sa.Connection, realm: Realm, table: sa.Table, changes: Iterable[tuple[Row, Mapping[str, Any]]]
) -> list[Row]:
    """Change rows that were read for use, in the same columns, all or none. Raises: Conflict: one was changed meanwhile."""
    before: list[Row] = []
    after: list[Row] = []
    parameters = []
    for row, change in changes:
        identity = row_id(table, row)
        sealed = _seal(realm, table, identity, change)
        changed = _granting(realm, table, identity, {**row, **sealed, "generation": row["generation"] + 1})
        before.append(row)
        after.append(changed)
        parameters.append({**_read(table, row), **{name: changed[name] for name in (*change, "generation", "mac")}})
    if parameters:
        _change(db, table, _update(table, tuple(name for name in parameters[0] if name in table.c)), parameters)
    ledger.shift(db, realm.keyring, added=[row["mac"] for row in after], removed=[row["mac"] for row in before])
    return after


def delete(db: sa.Connection, realm: Realm, table: sa.Table, *rows: Row) -> None:
    """Delete rows that were read for use, all or none. Raises: Conflict: one was changed meanwhile."""
    _change(db, table, _delete(table), [_read(table, row) for row in rows])
    ledger.shift(db, realm.keyring, removed=[row["mac"] for row in rows])


def find(db: sa.Connection, realm: Realm, table: sa.Table, *where: sa.ColumnElement[bool]) -> Row | None:
    """The one row that fits, checked. Raises: Tampered."""
    return only(table, find_all(db, realm, table, *where))


def find_by(db: sa.Connection, realm: Realm, table: sa.Table, column: sa.Column[T], value: T) -> Row | None:
    """The one row with this in ``column``, checked. Raises: Tampered."""
    return only(table, verified(db, realm, table, db.execute(_by(column), {"of": value}).all()))


def find_all(db: sa.Connection, realm: Realm, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Row]:
    """All rows that fit, checked. Raises: Tampered."""
    return checked(db, realm, table, sa.select(table).where(*where))


def checked(db: sa.Connection, realm: Realm, table: sa.Table, statement: sa.Select[Any]) -> list[Row]:
    """The rows of a statement that selects all columns of ``table``, and others only after them. Raises: Tampered."""
    return verified(db, realm, table, db.execute(statement).all())


def verified(db: sa.Connection, realm: Realm, table: sa.Table, rows: Sequence[sa.Row[Any]]) -> list[Row]:
    """The same rows, as `checked` selects them, once all of them are right, and valid now. Raises: Tampered."""
    granted = [_GRANTED[table.name](row) for row in rows]
    for values in granted:
        realm.verified.get((table.name, values), lambda values=values: _verify(realm, table, values))  # type: ignore[misc]
    ledger.require_valid(db, realm.keyring, [values[1] for values in granted])
    return plain(rows)


def plain(rows: Sequence[sa.Row[*tuple[Any, ...]]]) -> list[Row]:
    """Of one statement, as dictionaries, which cost a fifth of SQLAlchemy's mappings to read and to copy."""
    names = rows[0]._fields if rows else ()
    return [dict(zip(names, row, strict=True)) for row in rows]


def typed(table: sa.Table, row: Row) -> Row:
    """A row that carries no MAC, once each of its columns holds what its type says. Raises: Tampered."""
    if not all(isinstance(row[name], types) for name, types in _STORED[table.name].items()):
        raise strange(table)
    return row


def strange(table: sa.Table) -> Tampered:
    """The alarm about a row that the C2 cannot have written."""
    return Tampered(f"a row of {table.name} holds what is never written there; restore the database from a backup")


def find_ids(
    db: sa.Connection,
    realm: Realm,
    table: sa.Table,
    column: sa.Column[T],
    ids: Iterable[T],
    *where: sa.ColumnElement[bool],
) -> list[Row]:
    """All rows whose ``column`` is one of ``ids``, checked. Raises: Tampered."""
    these = _among(column, takes_array(db, column))
    asked = these.where(*where) if where else these
    found = (db.execute(asked, {"of": portion}).all() for portion in portions(set(ids)))
    return [row for rows in found for row in verified(db, realm, table, rows)]


def find_pairs(
    db: sa.Connection,
    realm: Realm,
    columns: tuple[sa.Column[bytes], sa.Column[bytes]],
    pairs: Iterable[tuple[bytes, bytes]],
) -> list[Row]:
    """All rows whose two columns are one of ``pairs``, checked, and maybe some more (`pairs_given`). Raises: Tampered."""
    dialect = db.dialect.name
    found = []
    for portion in portions(set(pairs)):
        parts = {name: list(part) for name, part in zip(PAIR, zip(*portion, strict=True), strict=True)}
        given = {"of": portion} if dialect in MARIADB else parts
        found += verified(db, realm, columns[0].table, db.execute(_among_pairs(columns, dialect), given).all())
    return found


# Made once of each column, as it takes longer to make such a statement than to run it
@cache
def _by(column: sa.Column[Any]) -> sa.Select[Any]:
    return sa.select(column.table).where(column == sa.bindparam("of"))


@cache
def _among(column: sa.Column[Any], as_array: bool) -> sa.Select[Any]:
    return sa.select(column.table).where(given(column, as_array))


@cache
def _among_pairs(columns: tuple[sa.Column[Any], sa.Column[Any]], dialect: str) -> sa.Select[Any]:
    return sa.select(columns[0].table).where(pairs_given(columns, dialect))


def only(table: sa.Table, rows: list[Row]) -> Row | None:
    """The one of at most one row. Raises: Tampered: there are more."""
    if len(rows) > 1:
        raise Tampered(f"the table {table.name} has a row too many; restore the database from a backup")
    return rows[0] if rows else None


def reveal(realm: Realm, table: sa.Table, row: Row, column: str) -> Secret:
    """What is sealed in ``column`` of a row. Raises: Tampered."""
    return realm.keyring.open(Cell(table.name, column, row_id(table, row)), row[column])


def _seal(realm: Realm, table: sa.Table, identity: bytes, values: Mapping[str, Any]) -> dict[str, Any]:
    sealed = dict(values)
    for name in SEALED.get(table.name, ()):
        if (clear := values.get(name)) is not None:
            sealed[name] = realm.keyring.seal(Cell(table.name, name, identity), clear)
    return sealed


def _granting(realm: Realm, table: sa.Table, identity: bytes, values: dict[str, Any]) -> Row:
    """A row as it is stored, with its MAC."""
    return {**values, "mac": realm.keyring.mac(authority(table, identity, values))}


def authority(table: sa.Table, identity: bytes, values: Mapping[str, Any]) -> AuthorityRow:
    """What the MAC of a row is over."""
    fields = _fields(table, [values[name] for name in GRANTING[table.name]])
    return AuthorityRow(table.name, identity, values["generation"], fields)


def _verify(realm: Realm, table: sa.Table, granted: tuple[Any, ...]) -> bool:
    """True. Raises: Tampered."""
    if not all(map(isinstance, granted, _TYPES[table.name])):
        raise strange(table)
    keys = 2 + len(_PRIMARY[table.name])
    identity = _joined(granted[2:keys])
    fields = _fields(table, granted[keys:])
    realm.keyring.verify_mac(AuthorityRow(table.name, identity, granted[0], fields), granted[1])
    return True


def _fields(table: sa.Table, values: Sequence[Any]) -> tuple[Field, ...]:
    later = LATER.get(table.name, 0)
    while later and values[-1] is None:
        values, later = values[:-1], later - 1
    return tuple([_field(value) for value in values])


def _field(value: Any) -> Field:
    return struct.pack("<d", value) if isinstance(value, float) else value


def row_id(table: sa.Table, values: Any) -> bytes:
    """The primary key as one value, to bind what is sealed to its row."""
    return _joined([values[name] for name in _PRIMARY[table.name]])


def _joined(key: Sequence[Any]) -> bytes:
    if len(key) == 1:
        return _id_bytes(key[0])
    # with their lengths, else what moves from the one to the other would leave the row's MAC as it is
    return canonical(*map(_id_bytes, key))


def _id_bytes(part: bytes | int | str) -> bytes:
    if isinstance(part, bytes):
        return part
    return part.encode() if isinstance(part, str) else part.to_bytes(8, "little", signed=True)


def _change(db: sa.Connection, table: sa.Table, change: Setwise, parameters: list[dict[str, Any]]) -> None:
    """Raises: Conflict: a row is not any more as it was read (`_read`)."""
    if change(db, parameters) != len(parameters):
        raise Conflict(f"the {table.name} was changed by somebody else meanwhile; read it again")


@cache
def _update(table: sa.Table, names: tuple[str, ...]) -> Setwise:
    """Of these columns, in rows that still are as they were read."""
    types = {**_read_types(table), **{name: table.c[name].type for name in names}}
    return Setwise(types, lambda to: sa.update(table).where(*_unchanged(table, to)).values({n: to[n] for n in names}))


@cache
def _delete(table: sa.Table) -> Setwise:
    return Setwise(_read_types(table), lambda of: sa.delete(table).where(*_unchanged(table, of)))


def _unchanged(table: sa.Table, given: Given) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == given[f"of_{name}"] for name in _READ[table.name]]


def _read_types(table: sa.Table) -> dict[str, Any]:
    return {f"of_{name}": table.c[name].type for name in _READ[table.name]}


def _read(table: sa.Table, row: Row) -> dict[str, Any]:
    return {f"of_{name}": row[name] for name in _READ[table.name]}
