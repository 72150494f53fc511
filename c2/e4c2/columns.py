# SPDX-License-Identifier: Apache-2.0
"""Column types that mean the same in SQLite, PostgreSQL and MariaDB.

MariaDB cannot index a BLOB, counts time in 4 bytes if it may, and takes letters for the same that differ in case; every database
sorts text in an order of its own. Names are compared and sorted by their bytes everywhere, as paging and uniqueness rest on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

T = TypeVar("T")

MARIADB = ("mysql", "mariadb")
QUEUE = {"queue": True}
"""``info`` of a table whose rows change so fast that what the server last counted of them says nothing."""
PORTION = 500
"""Values in one statement, as databases limit parameters."""

Number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""What the database counts up."""
Time: sa.types.TypeEngine[float] = sa.Double()
"""Unix seconds."""


def Bytes(length: int) -> sa.types.TypeEngine[bytes]:  # a type, as those of SQLAlchemy
    """At most so many bytes, and few enough for an index."""
    return sa.LargeBinary(length).with_variant(mysql.VARBINARY(length), *MARIADB)


def Blob(length: int) -> sa.types.TypeEngine[bytes]:
    """At most so many bytes."""
    return sa.LargeBinary(length)


def Text(length: int) -> sa.types.TypeEngine[str]:
    """At most so many characters."""
    exact: dict[str, Any] = {"postgresql": sa.String(length, collation="C")}
    exact |= dict.fromkeys(MARIADB, mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_nopad_bin"))
    kind: sa.types.TypeEngine[str] = sa.String(length)
    for dialect, variant in exact.items():
        kind = kind.with_variant(variant, dialect)
    return kind


def among(db: sa.Connection, column: sa.ColumnElement[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """``column`` is one of these.

    To PostgreSQL bytes and numbers go as one array: a list of parameters is searched from its beginning for each row, and each
    length of it is another statement. Text does not, for the order of names stands in its column alone.
    """
    if not takes_array(db, column):
        return column.in_(values)
    return _in_array(column, sa.bindparam(None, list(values), type_=postgresql.ARRAY(column.type)))


def takes_array(db: sa.Connection, column: sa.ColumnElement[Any]) -> bool:
    """Whether `among` gives an array."""
    return db.dialect.name == "postgresql" and not isinstance(column.type, sa.String)


def given(column: sa.ColumnElement[Any], as_array: bool) -> sa.ColumnElement[bool]:
    """`among`, for a statement that is made once: the values are the parameter ``of``."""
    if not as_array:
        return column.in_(sa.bindparam("of", expanding=True))
    return _in_array(column, sa.bindparam("of", type_=postgresql.ARRAY(column.type)))


def _in_array(column: sa.ColumnElement[Any], values: sa.BindParameter[Any]) -> sa.ColumnElement[bool]:
    array = sa.cast(values, postgresql.ARRAY(column.type))
    if isinstance(column, sa.Column) and column.table.info == QUEUE:
        return column == sa.any_(array)  # a join would be planned for the few rows that it is thought to have
    return column.in_(sa.select(sa.func.unnest(array)))


PAIR = ("firsts", "seconds")


def pairs_given(columns: tuple[sa.Column[Any], sa.Column[Any]], dialect: str) -> sa.ColumnElement[bool]:
    """Two columns, which have an index, are one of the pairs whose parts are the parameters `PAIR`; of MariaDB, ``of``.

    SQLite finds a first with any of the seconds too: it takes no index for a list of pairs.
    """
    if dialect in MARIADB:
        return sa.tuple_(*columns).in_(sa.bindparam("of", expanding=True))
    if dialect == "sqlite":
        return sa.and_(*[of.in_(sa.bindparam(name, expanding=True)) for of, name in zip(columns, PAIR, strict=True)])
    arrays = [postgresql.ARRAY(column.type) for column in columns]
    values = [sa.cast(sa.bindparam(name, type_=array), array) for name, array in zip(PAIR, arrays, strict=True)]
    return sa.tuple_(*columns).in_(sa.select(sa.func.unnest(*values).table_valued(*PAIR).render_derived()))


def portions(values: Iterable[T]) -> Iterator[list[T]]:
    """All ``values``, in lists of which each fits in a statement."""
    listed = list(values)
    return (listed[start : start + PORTION] for start in range(0, len(listed), PORTION))
