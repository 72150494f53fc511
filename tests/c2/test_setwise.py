# SPDX-License-Identifier: Apache-2.0
"""Changes of many rows by values of their own: the same on each kind of database, whatever the values are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import columns
from e4c2.setwise import Setwise
from e4c2.store.engine import Store
from tests.c2.shared import database
from tests.databases import DatabaseServer

__all__ = ["database"]

things = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("id", columns.Number, primary_key=True),
    sa.Column("who", columns.Bytes(16), nullable=False),
    sa.Column("text", columns.Text(64)),
    sa.Column("data", columns.Blob(2**16)),
    sa.Column("number", sa.BigInteger),
    sa.Column("time", columns.Time),
    sa.Column("flag", sa.Boolean),
)
VALUES = ("text", "data", "number", "time", "flag")
CHANGE = Setwise(
    {"of": things.c.id.type, **{name: things.c[name].type for name in VALUES}},
    lambda to: sa.update(things).where(things.c.id == to["of"]).values({name: to[name] for name in VALUES}),
)
REMOVE = Setwise({"who": things.c.who.type}, lambda of: sa.delete(things).where(things.c.who == of["who"]))
MANY = 1_201
"""More than go in two statements."""


@pytest.fixture
def store(database: DatabaseServer) -> Iterator[Store]:
    store = Store(database.make())
    yield filled(store)
    store.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "db")
    yield filled(store)
    store.close()


def filled(store: Store) -> Store:
    def fill(db: sa.Connection) -> None:
        things.create(db)
        db.execute(sa.insert(things), [{"id": number, "who": who(number)} for number in range(1, MANY + 1)])

    store.run(fill)
    return store


def who(number: int) -> bytes:
    return number.to_bytes(16, "big")


def odd_values() -> list[dict[str, Any]]:
    texts = ["", "a", "'\"\\`", "null", "é\U0001f511", "%s :x [1]", "\n\t\0"[:2], None]
    datas = [b"", bytes(16), b"\xff" * 300, b"null", b'"\\', None]
    numbers = [0, -1, 2**63 - 1, -(2**63), None]
    times = [0.0, 1795326543.123456789, 1e-300, -0.1, None]
    flags = [True, False, None]
    kinds: tuple[list[Any], ...] = (texts, datas, numbers, times, flags)
    return [dict(zip(VALUES, (each[place % len(each)] for each in kinds), strict=True)) for place in range(len(texts))]


def held(store: Store) -> list[dict[str, Any]]:
    wanted = sa.select(*[things.c[name] for name in VALUES]).order_by(things.c.id)
    return store.run(lambda db: [dict(row) for row in db.execute(wanted).mappings()])


def check_values(store: Store) -> None:
    rows = odd_values()
    found = store.run(lambda db: CHANGE(db, [{"of": number, **row} for number, row in enumerate(rows, 1)]))
    assert found == len(rows)
    assert held(store) == [*rows, *[dict.fromkeys(VALUES)] * (MANY - len(rows))]


def check_many(store: Store) -> None:
    rows = [{"text": str(number), "data": None, "number": number, "time": None, "flag": None} for number in range(MANY)]
    assert store.run(lambda db: CHANGE(db, [{"of": number, **row} for number, row in enumerate(rows, 1)])) == MANY
    assert held(store) == rows
    assert store.run(lambda db: REMOVE(db, [{"who": who(number)} for number in range(2, MANY + 9)])) == MANY - 1
    assert held(store) == rows[:1]


def check_none(store: Store) -> None:
    before = held(store)
    assert store.run(lambda db: CHANGE(db, [])) == 0
    missing = {"of": MANY + 1, **dict.fromkeys(VALUES)}
    assert store.run(lambda db: CHANGE(db, [missing])) == 0
    assert held(store) == before


CHECKS = [check_values, check_many, check_none]


@pytest.mark.parametrize("check", CHECKS)
def test_it_does_on_a_server_what_it_says(store: Store, check: Any) -> None:
    check(store)


@pytest.mark.parametrize("check", CHECKS)
def test_it_does_in_a_file_what_it_says(sqlite: Store, check: Any) -> None:
    check(sqlite)
