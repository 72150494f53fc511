# SPDX-License-Identifier: Apache-2.0
"""Rows that grant something: written with a MAC and a generation, checked whenever they are read for use.

Who can write to the database can neither forge one, nor swap what is in two of them. That one is missing, or was put back to an
older state together with its MAC, is found by `e4c2.ledger`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from e4c2 import ledger
from e4c2.model import GRANTING, SEALED, metadata
from e4core.errors import Conflict, Tampered
from e4core.keys import Secret
from e4core.suite import Channel, Suite
from e4kms.keyring import Keyring
from e4kms.records import AuthorityRow, Cell, Field

Row = sa.RowMapping
T = TypeVar("T")


class Kept(Generic[T]):
    """What is costly to make again, `MOST` at a time; used by the writer thread alone."""

    MOST = 20_000

    def __init__(self) -> None:
        self._made: dict[Hashable, T] = {}

    def clear(self) -> None:
        self._made.clear()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        made = self._made.get(key)
        if made is None:
            if len(self._made) >= self.MOST:
                self._made.clear()
            made = self._made[key] = make()
        return made


_GRANTED = {
    name: itemgetter(
        *[
            list(metadata.tables[name].c.keys()).index(column)
            for column in ("generation", "mac", *metadata.tables[name].primary_key.columns.keys(), *GRANTING[name])
        ]
    )
    for name in GRANTING
}
"""Table -> from a row as selected: generation, MAC, primary key, granting columns."""
_PRIMARY = {table.name: tuple(column.name for column in table.primary_key) for table in metadata.sorted_tables}


@dataclass(frozen=True, slots=True)
class Realm:
    """What every use case needs beside its connection: the fleet's suite, the unwrapped keys, the clock (Unix seconds)."""

    suite: Suite
    keyring: Keyring
    clock: Callable[[], float]
    channels: Kept[Channel] = field(default_factory=Kept, repr=False, compare=False)
    """To devices, ready for use: making one opens a record, and in public-key suites costs a point multiplication."""


def insert(db: sa.Connection, realm: Realm, table: sa.Table, **values: Any) -> Row:
    """Insert one row, its `SEALED` values given in clear. Raises: Conflict: its key exists."""
    sealed = _seal(realm, table, values)
    sealed["generation"] = 1
    sealed["mac"] = realm.keyring.mac(_authority(table, sealed))
    try:
        with db.begin_nested():
            row = db.execute(sa.insert(table).values(**sealed).returning(*table.c)).mappings().one()
    except sa.exc.IntegrityError as error:
        raise Conflict(f"this {table.name.replace('_', ' ')} exists already") from error
    ledger.shift(db, realm.keyring, row["mac"])
    return row


def update(db: sa.Connection, realm: Realm, table: sa.Table, row: Row, **changes: Any) -> Row:
    """Change a row that was read for use, its `SEALED` values given in clear. Raises: Conflict: changed meanwhile."""
    after = {**row, **_seal(realm, table, {**_key(table, row), **changes}), "generation": row["generation"] + 1}
    after["mac"] = realm.keyring.mac(_authority(table, after))
    statement = (
        sa.update(table)
        .where(*_same(table, row), table.c.generation == row["generation"])
        .values(**{name: after[name] for name in (*changes, "generation", "mac")})
        .returning(*table.c)
    )
    changed = db.execute(statement).mappings().one_or_none()
    if changed is None:
        raise Conflict(f"the {table.name} was changed by somebody else meanwhile; read it again")
    ledger.shift(db, realm.keyring, row["mac"], changed["mac"])
    return changed


def delete(db: sa.Connection, realm: Realm, table: sa.Table, *rows: Row) -> None:
    """Delete rows that were read for use."""
    for row in rows:
        db.execute(sa.delete(table).where(*_same(table, row)))
    ledger.shift(db, realm.keyring, *(row["mac"] for row in rows))


def find(db: sa.Connection, realm: Realm, table: sa.Table, *where: sa.ColumnElement[bool]) -> Row | None:
    """The one row that fits, checked. Raises: Tampered."""
    rows = find_all(db, realm, table, *where)
    if len(rows) > 1:
        raise Tampered(f"the table {table.name} has a row too many; restore the database from a backup")
    return rows[0] if rows else None


def find_all(db: sa.Connection, realm: Realm, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Row]:
    """All rows that fit, checked. Raises: Tampered."""
    rows = db.execute(sa.select(table).where(*where)).all()
    granted = _GRANTED[table.name]
    for row in rows:
        _verify(realm, table, granted(row))
    return [row._mapping for row in rows]


def find_ids(
    db: sa.Connection,
    realm: Realm,
    table: sa.Table,
    column: sa.ColumnElement[bytes],
    ids: Iterable[bytes],
    *where: sa.ColumnElement[bool],
) -> list[Row]:
    """All rows whose ``column`` is one of ``ids``, checked; asks in portions, as databases limit parameters."""
    wanted = list(set(ids))
    portions = (wanted[i : i + 500] for i in range(0, len(wanted), 500))
    return [row for portion in portions for row in find_all(db, realm, table, column.in_(portion), *where)]


def reveal(realm: Realm, table: sa.Table, row: Row, column: str) -> Secret:
    """What is sealed in ``column`` of a row. Raises: Tampered."""
    return realm.keyring.open(Cell(table.name, column, _row_id(table, row)), row[column])


def _seal(realm: Realm, table: sa.Table, values: dict[str, Any]) -> dict[str, Any]:
    row = _row_id(table, values)
    columns = [name for name in SEALED.get(table.name, ()) if values.get(name) is not None]
    return {**values, **{name: realm.keyring.seal(Cell(table.name, name, row), values[name]) for name in columns}}


def _authority(table: sa.Table, values: Any) -> AuthorityRow:
    fields = tuple([_field(values[name]) for name in GRANTING[table.name]])
    return AuthorityRow(table.name, _row_id(table, values), values["generation"], fields)


def _verify(realm: Realm, table: sa.Table, granted: tuple[Any, ...]) -> None:
    """Raises: Tampered."""
    keys = 2 + len(_PRIMARY[table.name])
    row_id = b"".join([_id_bytes(part) for part in granted[2:keys]])
    fields = tuple([_field(value) for value in granted[keys:]])
    realm.keyring.verify_mac(AuthorityRow(table.name, row_id, granted[0], fields), granted[1])


def _field(value: Any) -> Field:
    return struct.pack("<d", value) if isinstance(value, float) else value


def _key(table: sa.Table, values: Any) -> dict[str, Any]:
    return {name: values[name] for name in _PRIMARY[table.name]}


def _row_id(table: sa.Table, values: Any) -> bytes:
    return b"".join([_id_bytes(values[name]) for name in _PRIMARY[table.name]])


def _id_bytes(part: bytes | int) -> bytes:
    return part if isinstance(part, bytes) else part.to_bytes(8, "little")


def _same(table: sa.Table, row: Row) -> list[sa.ColumnElement[bool]]:
    return [column == row[column.name] for column in table.primary_key]
