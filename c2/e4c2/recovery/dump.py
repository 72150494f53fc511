# SPDX-License-Identifier: Apache-2.0
"""A database as lines of JSON, the same for every kind of database: a manifest, then the rows, table by table in portions.

Rows are as they are stored: sealed, and with their MACs. Bytes are base64. Left out is what means nothing elsewhere.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

import sqlalchemy as sa

from e4c2.model import backup, idempotency, ledger_change, metadata, realm, restoring
from e4c2.rows import Row, plain, typed
from e4core.errors import Tampered

T = TypeVar("T")

PORTION = 500
LINE_MAX = 2**26
"""Longest line that is read, in bytes."""
_LEFT_OUT = {
    ledger_change: "what processes on one database tell each other",
    idempotency: "answers to who has a token, which a restore revokes",
    backup: "which backups were made since is not known here",
    restoring: "of a restore",
}
TABLES = tuple(table for table in metadata.sorted_tables if table not in _LEFT_OUT)
"""In this order: what a row refers to is there before it."""
_BY_NAME = {table.name: table for table in TABLES}
_BAD = "the backup holds what is never written there; take another one, or the release that made it"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of. ``schema``: of the database. ``created``: Unix seconds. ``rows``: table -> how many."""

    database: str
    suite: str
    release: str
    schema: str
    created: float
    rows: dict[str, int]

    @classmethod
    def of(cls, db: sa.Connection, schema: str, created: float) -> Manifest:
        row = typed(realm, db.execute(sa.select(realm)).mappings().one())
        rows = {table.name: db.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in TABLES}
        return cls(row["database_id"].hex(), row["suite"], version("e4core"), schema, created, rows)

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    def line(self) -> bytes:
        return _line(asdict(self))

    @classmethod
    def parse(cls, line: bytes) -> Manifest:
        """Raises: Tampered."""
        return _guarded(lambda: cls._checked(**json.loads(line)))

    @classmethod
    def _checked(cls, **values: Any) -> Manifest:
        made = cls(**values)
        texts = (made.database, made.suite, made.release, made.schema)
        if not all(isinstance(text, str) for text in texts) or not isinstance(made.created, float):
            raise ValueError
        if not all(isinstance(name, str) and type(count) is int for name, count in made.rows.items()):
            raise ValueError
        return made


def lines(db: sa.Connection, manifest: Manifest) -> Iterator[bytes]:
    """All rows, in one transaction that sees one state. Raises: Tampered: a value that is never written."""
    yield manifest.line()
    for table in TABLES:
        for rows in _portions(db, table):
            yield _line([table.name, [_written(row) for row in rows]])


def load(db: sa.Connection, content: Iterable[bytes], manifest: Manifest) -> None:
    """Put all rows into empty tables. Raises: Tampered: they are not those of the manifest."""
    left = dict(manifest.rows)
    for line in content:
        name, rows = _guarded(partial(_parsed, line))
        db.execute(sa.insert(_BY_NAME[name]), rows)
        left[name] = left.get(name, 0) - len(rows)
    if any(left.values()):
        raise Tampered(_BAD)


def split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of what comes in chunks. Raises: Tampered: there is no end of one."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if b"\n" in chunk:
            *whole, rest = bytes(held).split(b"\n")
            yield from whole
            held = bytearray(rest)
        elif len(held) > LINE_MAX:
            break
    if held:
        raise Tampered(_BAD)


def _portions(db: sa.Connection, table: sa.Table) -> Iterator[list[Row]]:
    """All rows, by primary key."""
    key = list(table.primary_key)
    statement = sa.select(table).order_by(*key).limit(PORTION)
    after: sa.ColumnElement[bool] = sa.true()
    while rows := plain(db.execute(statement.where(after)).all()):
        yield [typed(table, row) for row in rows]
        if len(rows) < PORTION:
            return
        after = _after(key, [rows[-1][column.name] for column in key])


def _after(key: list[sa.Column[Any]], last: list[Any]) -> sa.ColumnElement[bool]:
    """Rows with a greater key, said so that every database finds the first of them in its index."""
    first, *others = key
    beyond: sa.ColumnElement[bool] = first > last[0]
    if not others:
        return beyond
    return sa.and_(first >= last[0], sa.or_(beyond, _after(others, last[1:])))


def _written(row: Row) -> list[Any]:
    return [b64encode(value).decode() if isinstance(value, bytes) else value for value in row.values()]


def _line(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    except ValueError:
        raise Tampered("a row holds a number that is never written there; restore it from a backup") from None


def _parsed(line: bytes) -> tuple[str, list[Row]]:
    """Name of a table, and rows of it."""
    name, rows = json.loads(line)
    table = _BY_NAME[name]
    return name, [_read(table, row) for row in rows]


def _read(table: sa.Table, values: list[Any]) -> Row:
    return typed(table, {of.name: _value(of, value) for of, value in zip(table.c, values, strict=True)})


def _value(column: sa.Column[Any], value: Any) -> Any:
    if column.type.python_type is bytes and value is not None:
        return b64decode(value, validate=True)
    return value


def _guarded(parse: Callable[[], T]) -> T:
    try:
        return parse()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Tampered(_BAD) from None
