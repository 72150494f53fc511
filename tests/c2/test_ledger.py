# SPDX-License-Identifier: Apache-2.0
"""Rows that were put back, removed or added as a whole behind the C2's back are found when the database is opened."""

from __future__ import annotations

import hmac
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import clients, ledger, tokens, topics
from e4c2.c2keys import NO_VERSION
from e4c2.model import GRANTING
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.errors import Tampered
from e4core.plugins import load_kms, load_suite
from e4kms import file as file_kms
from e4kms.records import Cell


class Database:
    """A realm with one member of one topic, that can be closed, edited in SQL, and opened again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "c2.sqlite"
        self.uri = f"file:{folder / 'kek.json'}"
        file_kms.create(folder / "kek.json")

    def change(self, *use_cases: Callable[..., object]) -> None:
        store = Store(self.path)
        try:
            realm = store.run(open_realm, load_suite("sk"), {self.uri: load_kms(self.uri)}, time.time)
            for use_case in use_cases:
                store.run(use_case, realm)
        finally:
            store.close()

    def sql(self, *statements: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.path) as db:
            rows = [row for statement in statements for row in db.execute(statement)]
        db.close()
        return rows


def enrol(db: object, realm: Realm) -> None:
    clients.create(db, realm, "a", b"\1" * 32, NO_VERSION)  # type: ignore[arg-type]
    topics.create(db, realm, "t")  # type: ignore[arg-type]
    topics.join(db, realm, "t", ["a"])  # type: ignore[arg-type]
    tokens.create(db, realm, "admin")  # type: ignore[arg-type]


def rotate(db: object, realm: Realm) -> None:
    topics.rotate(db, realm, "t")  # type: ignore[arg-type]


def evict(db: object, realm: Realm) -> None:
    topics.leave(db, realm, "t", ["a"], rekey=False)  # type: ignore[arg-type]


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(tmp_path)
    made.change(enrol)
    return made


def test_a_database_that_only_the_c2_wrote_opens_again(database: Database) -> None:
    database.change(rotate, evict)
    database.change()


def test_the_sum_is_that_of_an_hmac_of_every_mac(database: Database) -> None:
    def summed(_db: object, realm: Realm) -> None:
        assert isinstance(sealed, bytes)
        content = realm.keyring.open(Cell("ledger", "sum", bytes([1, *bytes(7)])), sealed)
        terms = (hmac.digest(content[:32], mac, "sha256") for mac in macs)
        total = sum(int.from_bytes(term, "little") for term in terms) % 2**256
        assert int.from_bytes(content[32:40], "little") == changes
        assert content[40:-32] == bytes([1, 0, 0, 0]) * 3  # versions of the other DEKs
        assert content[-32:] == total.to_bytes(32, "little")
        seen.append(total)

    seen: list[int] = []
    macs = [mac for name in GRANTING for (mac,) in database.sql(f"SELECT mac FROM {name}") if isinstance(mac, bytes)]
    ((sealed,),) = database.sql("SELECT sum FROM ledger")
    # four DEKs, the head of the audit log, its key, its first record; the row of a pause; a client, a topic, a member, a token
    changes = 12
    database.change(summed)
    assert seen


def put_back(db: Any, _realm: Realm) -> None:
    db.execute(sa.text("INSERT INTO membership SELECT * FROM former"))


def evict_again(db: Any, realm: Realm) -> None:
    """As it would be if nobody saw that it was put back."""
    ledger.shift(db, realm.keyring, removed=db.scalars(sa.text("SELECT mac FROM membership")).all())
    db.execute(sa.text("DELETE FROM membership"))


def test_what_is_put_back_as_often_as_it_is_evicted_is_found(database: Database) -> None:
    database.sql("CREATE TABLE former AS SELECT * FROM membership")
    database.change(evict, put_back, evict_again, put_back)
    with pytest.raises(Tampered):
        database.change()


def test_what_is_put_back_is_not_even_evicted_again(database: Database) -> None:
    database.sql("CREATE TABLE former AS SELECT * FROM membership")
    with pytest.raises(Tampered):
        database.change(evict, put_back, evict)


def test_a_topic_put_back_to_its_former_key_is_found(database: Database) -> None:
    database.sql("CREATE TABLE former AS SELECT * FROM topic")
    database.change(rotate)
    database.sql(
        "DELETE FROM topic WHERE 0",
        "UPDATE topic SET (key, generation, mac) = (SELECT key, generation, mac FROM former)",
    )
    with pytest.raises(Tampered):
        database.change()


def test_a_member_put_back_after_its_eviction_is_found(database: Database) -> None:
    database.sql("CREATE TABLE former AS SELECT * FROM membership")
    database.change(evict)
    database.sql("INSERT INTO membership SELECT * FROM former")
    with pytest.raises(Tampered):
        database.change()


@pytest.mark.parametrize("table", ["membership", "token"])
def test_a_row_removed_is_found(database: Database, table: str) -> None:
    database.sql(f"DELETE FROM {table}")
    with pytest.raises(Tampered):
        database.change()


def test_a_row_put_back_with_the_ledger_of_then_is_found_when_anything_else_was_changed(database: Database) -> None:
    database.sql("CREATE TABLE former AS SELECT * FROM membership", "CREATE TABLE sums AS SELECT * FROM ledger")
    database.change(evict, rotate)
    database.sql("INSERT INTO membership SELECT * FROM former", "UPDATE ledger SET sum = (SELECT sum FROM sums)")
    with pytest.raises(Tampered):
        database.change()


@pytest.mark.parametrize("edit", ["DELETE FROM ledger", "UPDATE ledger SET sum = zeroblob(111)"])
def test_the_ledger_itself_cannot_be_edited(database: Database, edit: str) -> None:
    database.sql(edit)
    with pytest.raises(Tampered):
        database.change()
