# SPDX-License-Identifier: Apache-2.0
"""SQLite keeps whatever is written to it, of any type: to use it is an alarm, and harms only whom it is about."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, links, tokens, topics
from e4c2.model import GRANTING, Reason, metadata
from e4c2.rows import Realm, find_all
from e4core.errors import StorageError, Tampered
from tests.c2.world import World

VALUES: list[Any] = [1.5, 7, -7, 2**63 - 1, "text", b"\xff"]


@pytest.fixture
def fleet(pk2: World) -> World:
    for name in "ab":
        pk2.add(name)
    pk2.do(links.send, "a", "b")
    pk2.topic("t", "a", "b")
    pk2.do(tokens.create, "admin", 60.0)
    pk2.do(c2keys.new, Reason.ROUTINE)
    return pk2


def columns(table: sa.Table) -> list[sa.Column[Any]]:
    """All that the MAC is about; a flag is one whatever is in its place."""
    names = (*table.primary_key.columns.keys(), *GRANTING[table.name], "generation", "mac")
    return [table.c[name] for name in names if not isinstance(table.c[name].type, sa.Boolean)]


def read_changed(db: sa.Connection, realm: Realm, column: sa.Column[Any], value: Any) -> None:
    """In one transaction, so that the next finds the database as it was."""
    table = column.table
    key = ", ".join(table.primary_key.columns.keys())
    one = f"UPDATE {table.name} SET {column.name} = :it WHERE ({key}) = (SELECT {key} FROM {table.name} LIMIT 1)"
    db.execute(sa.text(one), {"it": value})
    find_all(db, realm, table)


@pytest.mark.parametrize("name", GRANTING)
def test_cell_of_another_type_is_found_when_it_is_used(fleet: World, name: str) -> None:
    for column, value in product(columns(metadata.tables[name]), VALUES):
        with fleet.refuses(Tampered, StorageError):  # some the database refuses by itself
            fleet.do(read_changed, column, value)


@pytest.mark.parametrize("change", ["generation = 1.5", "mac = 7", "key = 'text'"])
def test_one_row_of_another_type_stops_nobody_else(fleet: World, change: str) -> None:
    fleet.settle_down()
    fleet.do(topics.rotate, "t")
    fleet.greet("a", "b")
    fleet.sql(f"UPDATE client SET {change} WHERE name = 'b'")
    assert [error.kind for error in fleet.receive()] == ["tampered"]
    assert {each.client for each in fleet.claim()} == {fleet.devices["a"].id}
    assert ("b", "topic", "refused") in fleet.states()
