# SPDX-License-Identifier: Apache-2.0
"""Changes of many rows, each by values of its own, hundreds in one statement: a round trip for each costs more than the change.

The values come as a table that the statement joins: to PostgreSQL as one array a column, to MariaDB as JSON. SQLite, which has no
round trips, runs the statement once for each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from e4c2.columns import MARIADB, portions

Types = Mapping[str, TypeEngine[Any]]
Given = Mapping[str, sa.ColumnElement[Any]]
"""The values of one row by their names, as a statement has them."""
Rows = Collection[Mapping[str, Any]]
Statement = sa.Update | sa.Delete
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_JSON_TYPES: dict[type, str] = {
    bool: "BOOLEAN",
    int: "BIGINT",
    float: "DOUBLE",
    str: "LONGTEXT CHARACTER SET utf8mb4",
    bytes: "LONGTEXT",
}
"""What MariaDB reads from JSON; bytes are hexadecimal there."""


class Setwise:
    """A statement for any number of rows of values, made once of each kind of database."""

    def __init__(self, types: Types, make: Callable[[Given], Statement]) -> None:
        """Args: types: of the values, by name.  make: the statement, from what stands for the values of a row."""
        self._types = types
        self._make = make
        self._made = cache(self._for)

    def __call__(self, db: sa.Connection, rows: Rows) -> int:
        """Run it for each of ``rows``; how many rows of the database that found."""
        statement, parameters = self._made(db.dialect.name)
        return sum(db.execute(statement, each).rowcount for each in parameters(rows))

    def _for(self, dialect: str) -> tuple[Statement, Callable[[Rows], Iterable[Parameters]]]:
        given, parameters = _DIALECTS[dialect]
        return self._make(given(self._types)), partial(parameters, self._types)


def _parameters(types: Types) -> Given:
    # a parameter may not have the name of a column that is changed
    return {name: sa.bindparam(f"given_{name}", type_=of) for name, of in types.items()}


def _each(_types: Types, rows: Rows) -> Iterable[Parameters]:
    return [[{f"given_{name}": value for name, value in row.items()} for row in rows]] if rows else []


def _unnested(types: Types) -> Given:
    arrays = {name: postgresql.ARRAY(sa.Text() if isinstance(of, sa.String) else of) for name, of in types.items()}
    values = [sa.cast(sa.bindparam(f"given_{name}", type_=of), of) for name, of in arrays.items()]
    table = sa.func.unnest(*values).table_valued(*_columns(types)).render_derived(name="given")
    return dict(table.c.items())


def _arrays(types: Types, rows: Rows) -> Iterable[Parameters]:
    return ({f"given_{name}": [row[name] for row in portion] for name in types} for portion in portions(rows))


def _of_json(types: Types) -> Given:
    columns = (
        f"`{name}` {_JSON_TYPES[of.python_type]} PATH '$[{place}]' ERROR ON ERROR"
        for place, (name, of) in enumerate(types.items())
    )
    # names and types of this program alone
    path: sa.ColumnElement[Any] = sa.literal_column(f"'$[*]' COLUMNS ({', '.join(columns)})")
    table = sa.func.JSON_TABLE(sa.bindparam("given", type_=sa.Text), path).table_valued(*_columns(types), name="given")
    return {name: sa.func.unhex(column) if _is_bytes(types[name]) else column for name, column in table.c.items()}


def _json(types: Types, rows: Rows) -> Iterable[Parameters]:
    def told(name: str, value: Any) -> Any:
        return value.hex() if _is_bytes(types[name]) and value is not None else value

    return (
        {"given": json.dumps([[told(name, row[name]) for name in types] for row in portion])}
        for portion in portions(rows)
    )


def _columns(types: Types) -> list[sa.ColumnClause[Any]]:
    return [sa.column(name, of) for name, of in types.items()]


def _is_bytes(of: TypeEngine[Any]) -> bool:
    return of.python_type is bytes


_DIALECTS: dict[str, tuple[Callable[[Types], Given], Callable[[Types, Rows], Iterable[Parameters]]]] = {
    "sqlite": (_parameters, _each),
    "postgresql": (_unnested, _arrays),
    **dict.fromkeys(MARIADB, (_of_json, _json)),
}
