# SPDX-License-Identifier: Apache-2.0
"""All rows, a few at a time: put under the newest DEKs, or looked through.

What is behind names its version in its first bytes, so the database itself says what is still to be done: after a crash the next
call goes on. A call costs what it touches, and a walk over rows that are not behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from e4c2 import ledger
from e4c2.model import GRANTING, SEALED, enrolment, idempotency, metadata, token
from e4c2.model import ledger as ledger_table
from e4c2.rows import Realm, Row, reveal, row_id, typed, update_all, verified
from e4core.errors import InvalidInput, Tampered
from e4kms.deks import Purpose
from e4kms.records import HEADER_LEN, VERSION_LEN, Cell, version_bytes

TABLES = tuple(table for table in metadata.sorted_tables if table.name in GRANTING or table.name in SEALED)
BATCH = 500
_COLUMNS: dict[Purpose, list[sa.Column[bytes]]] = {
    Purpose.RECORDS: [table.c[name] for table in TABLES for name in SEALED.get(table.name, ())],
    Purpose.AUTHORITY: [table.c.mac for table in TABLES if table.name in GRANTING],
    Purpose.LOOKUP: [token.c.lookup, enrolment.c.lookup, idempotency.c.key],
    Purpose.AUDIT: [],
}
"""Which begin with the version of the DEK that they were made under; those of look-ups stay as they are until their rows go."""
_ANSWERS = idempotency.c.key
RESEALED = (Purpose.RECORDS, Purpose.AUTHORITY)
_BEFORE_VERSION = {Purpose.RECORDS: HEADER_LEN - VERSION_LEN}


def _number(text: str) -> int:
    if (number := int(text)) >= 2**63:  # the least that no database takes
        raise ValueError
    return number


_PARSED: dict[type, Callable[[str], Any]] = {bytes: bytes.fromhex, int: _number, str: str}


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the database: all rows up to this one, table by table in the order of `TABLES`, each by primary key."""

    table: str
    key: tuple[Any, ...]

    def __str__(self) -> str:
        return "/".join([self.table, *(part.hex() if isinstance(part, bytes) else str(part) for part in self.key)])

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Raises: InvalidInput (``bad_cursor``)."""
        name, *parts = text.split("/")
        columns = list(metadata.tables[name].primary_key) if name in {table.name for table in TABLES} else []
        try:
            key = tuple(_PARSED[column.type.python_type](part) for column, part in zip(columns, parts, strict=True))
        except ValueError:
            key = ()
        if not key:
            raise InvalidInput("this cursor was not made here; begin without one", kind="bad_cursor")
        return cls(name, key)


@dataclass(frozen=True, slots=True)
class Resealed:
    """``after``: where to go on, None at the end.  ``passed_over``: rows that stay as they are, by their marks, and why."""

    after: Mark | None
    passed_over: Mapping[str, Tampered]


@dataclass(frozen=True, slots=True)
class Looked:
    """``checked`` rows, all of which are right; ``after``: where to go on, None at the end."""

    checked: int
    after: Mark | None


def behind(db: sa.Connection, realm: Realm) -> dict[Purpose, int]:
    """Rows that are not under the newest version, of each purpose."""
    return {purpose: sum(_count(db, table, _old(realm, table, purpose)) for table in TABLES) for purpose in Purpose}


def is_named(db: sa.Connection, purpose: Purpose, version: int) -> bool:
    """Whether something still names this version that has to stay: stored answers go with it (`forget_answers`)."""
    start, name = _BEFORE_VERSION.get(purpose, 0) + 1, version_bytes(version)
    columns = [column for column in _COLUMNS[purpose] if column is not _ANSWERS]
    return any(_count(db, column.table, _part(column, start, VERSION_LEN) == name) for column in columns)


def forget_answers(db: sa.Connection, version: int) -> None:
    """Those that are found by this version of the look-up DEK only: a request of before that is sent again is done again."""
    db.execute(sa.delete(idempotency).where(_part(_ANSWERS, 1, VERSION_LEN) == version_bytes(version)))


def total(db: sa.Connection) -> int:
    """Rows that `look` looks at."""
    return sum(_count(db, table, sa.true()) for table in TABLES)


def reseal(db: sa.Connection, realm: Realm, after: Mark | None = None, limit: int = BATCH) -> Resealed:
    """Put the next rows that are behind under the newest versions; one that was tampered with is passed over.

    Raises: Tampered: the ledger, without which nothing can be changed.
    """
    passed_over: dict[str, Tampered] = {}
    for table, position in _from(after):
        if table is ledger_table:  # it is under the newest DEK from the moment that this is in use, or forged
            continue
        old = sa.or_(*[_old(realm, table, purpose) for purpose in RESEALED])
        rows = db.execute(_next(table, position, limit, old)).all()
        passed_over |= _reseal(db, realm, table, rows)
        last = next((row._mapping for row in reversed(rows) if _is_placed(table, row._mapping)), None)
        if last is not None:
            return Resealed(_mark(table, last), passed_over)
        if len(rows) == limit:  # of rows that no mark can name; behind them others may come
            return reseal(db, realm, after, 2 * limit)
    return Resealed(None, passed_over)


def look(db: sa.Connection, realm: Realm, after: Mark | None = None, limit: int = BATCH) -> Looked:
    """Open every record and verify every MAC of the next rows; at the beginning, also that no row is missing. Raises: Tampered."""
    if after is None:
        ledger.verify(db, realm.keyring)
    for table, position in _from(after):
        found = db.execute(_next(table, position, limit)).all()
        rows = _right(db, realm, table, found)
        for row in rows:
            for column in _filled(table, row):
                reveal(realm, table, row, column)
        if rows:
            return Looked(len(rows), _mark(table, rows[-1]))
    return Looked(0, None)


def _reseal(db: sa.Connection, realm: Realm, table: sa.Table, rows: Sequence[sa.Row[Any]]) -> dict[str, Tampered]:
    """Which of these rows were passed over."""
    if not rows:
        return {}
    try:
        with db.begin_nested():
            change = _reseal_granting if table.name in GRANTING else _reseal_plain
            change(db, realm, table, _right(db, realm, table, rows))
    except Tampered as error:
        ledger.require(db, realm.keyring)
        if len(rows) == 1:
            return {str(_mark(table, rows[0]._mapping)): error}
        half = len(rows) // 2
        return _reseal(db, realm, table, rows[:half]) | _reseal(db, realm, table, rows[half:])
    return {}


def _right(db: sa.Connection, realm: Realm, table: sa.Table, rows: Sequence[sa.Row[Any]]) -> list[Row]:
    """Raises: Tampered."""
    if table.name in GRANTING:
        return verified(db, realm, table, rows)
    return [typed(table, row._mapping) for row in rows]


def _reseal_granting(db: sa.Connection, realm: Realm, table: sa.Table, rows: list[Row]) -> None:
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(_filled(table, row), []).append(row)
    for columns, group in alike.items():
        changes = ((row, {column: reveal(realm, table, row, column) for column in columns}) for row in group)
        update_all(db, realm, table, changes)


def _reseal_plain(db: sa.Connection, realm: Realm, table: sa.Table, rows: list[Row]) -> None:
    (key,) = table.primary_key
    for column in SEALED[table.name]:
        statement = sa.update(table).where(key == sa.bindparam("of")).values({column: sa.bindparam("now")})
        filled = [row for row in rows if row[column] is not None]
        # one by one, as answers may be long
        if resealed := [{"of": row[key.name], "now": _resealed(realm, table, row, column)} for row in filled]:
            db.execute(statement, resealed)


def _resealed(realm: Realm, table: sa.Table, row: Row, column: str) -> bytes:
    return realm.keyring.seal(Cell(table.name, column, row_id(table, row)), reveal(realm, table, row, column))


def _next(
    table: sa.Table, position: tuple[Any, ...] | None, limit: int, *where: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    statement = sa.select(table).where(*where).order_by(*table.primary_key).limit(limit)
    if position is not None:
        statement = statement.where(sa.tuple_(*table.primary_key) > sa.tuple_(*position))
    return statement


def _from(after: Mark | None) -> Iterator[tuple[sa.Table, tuple[Any, ...] | None]]:
    """Tables still to be walked, each with the key after which to begin."""
    walking = after is None
    for table in TABLES:
        here = after is not None and table.name == after.table
        if walking or here:
            yield table, after.key if here and after is not None else None
        walking = walking or here


def _mark(table: sa.Table, row: Row) -> Mark:
    return Mark(table.name, tuple(row[column.name] for column in table.primary_key))


def _is_placed(table: sa.Table, row: Row) -> bool:
    """Whether a mark can name its place: a database may hold a key of another type than its column's."""
    return all(isinstance(row[column.name], column.type.python_type) for column in table.primary_key)


def _filled(table: sa.Table, row: Row) -> tuple[str, ...]:
    return tuple(name for name in SEALED.get(table.name, ()) if row[name] is not None)


def _old(realm: Realm, table: sa.Table, purpose: Purpose) -> sa.ColumnElement[bool]:
    """Which rows of ``table`` are not under the newest version."""
    newest = realm.keyring.newest(purpose)
    columns = [column for column in _COLUMNS[purpose] if column.table is table]
    return sa.or_(sa.false(), *[_part(column, 1, len(newest)) != newest for column in columns])


def _part(column: sa.Column[bytes], start: int, length: int) -> sa.ColumnElement[bytes]:
    return sa.func.substr(column, start, length, type_=sa.LargeBinary())


def _count(db: sa.Connection, table: sa.FromClause, where: sa.ColumnElement[bool]) -> int:
    return db.scalar(sa.select(sa.func.count()).select_from(table).where(where)) or 0
