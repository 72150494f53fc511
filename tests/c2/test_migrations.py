# SPDX-License-Identifier: Apache-2.0
"""Migrations, up and down, on each kind of database: they lead to the model, and take what is in the tables with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory

from e4backends import sk
from e4c2 import ledger, topics
from e4c2.audit import chain, verifying
from e4c2.audit.chain import Filter
from e4c2.model import Delivery, metadata
from e4c2.rows import Realm
from e4c2.store import schema
from e4c2.store.address import Address
from e4c2.store.engine import Store
from e4c2.store.first_start import LOG_BEGUN
from e4kms import file as kek_file
from tests.c2.conftest import two
from tests.c2.world import World
from tests.databases import KINDS, database_server

OLDER = "0004"
"""The newest revision that has no audit log."""
Make = Callable[[], Path | Address]
REVISIONS = [each.revision for each in ScriptDirectory.from_config(schema._config()).walk_revisions("base", "heads")]
"""The newest first."""


@pytest.fixture(scope="module", params=("sqlite", *KINDS))
def make(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes empty databases of one kind."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("migrations")
        yield lambda: folder / f"{len(list(folder.glob('*.db')))}.db"
        return
    with database_server(request.param) as server:
        yield server.make


def move(db: sa.Connection, how: Callable[..., None], revision: str) -> None:
    config = schema._config()
    config.attributes["connection"] = db
    how(config, revision)


def done(place: Path | Address, work: Callable[[sa.Connection], Any]) -> Any:
    """What ``work`` gives, in a database whose schema is only what it makes of it."""
    found = []
    Store(place, prepare=lambda db, _: found.append(work(db))).close()
    return found[0]


def rows(db: sa.Connection) -> dict[str, list[dict[str, Any]]]:
    """What is in the tables as the database has them, not the model."""
    tables = sa.MetaData()
    tables.reflect(db)
    return {
        table.name: sorted((dict(row) for row in db.execute(sa.select(table)).mappings()), key=repr)
        for table in tables.sorted_tables
        if table.name != schema.VERSIONS
    }


def shape(db: sa.Connection) -> dict[str, Any]:
    """All tables as the database has them, whatever the order in which they came."""
    look = sa.inspect(db)

    def sorted_by_name(found: Any) -> list[Any]:
        return sorted(found, key=lambda each: str(each["name"]))

    return {
        name: {
            "columns": [{**each, "type": repr(each["type"])} for each in sorted_by_name(look.get_columns(name))],
            "primary key": look.get_pk_constraint(name),
            "foreign keys": sorted_by_name(look.get_foreign_keys(name)),
            "unique": sorted_by_name(look.get_unique_constraints(name)),
            "indexes": sorted_by_name(look.get_indexes(name)),
        }
        for name in look.get_table_names()
        if name != schema.VERSIONS
    }


def test_they_lead_to_the_model(make: Make) -> None:
    def by_model(db: sa.Connection) -> dict[str, Any]:
        metadata.create_all(db)
        return shape(db)

    def by_migrations(db: sa.Connection) -> dict[str, Any]:
        schema.migrate(db)
        return shape(db)

    assert done(make(), by_migrations) == done(make(), by_model)


def test_each_can_be_undone_and_done_again(make: Make) -> None:
    def up_and_down(db: sa.Connection) -> None:
        shapes = [shape(db)]
        for revision in reversed(REVISIONS):
            move(db, command.upgrade, revision)
            shapes.append(shape(db))
        for before in reversed(shapes[:-1]):
            move(db, command.downgrade, "-1")
            assert shape(db) == before
        schema.migrate(db)
        assert shape(db) == shapes[-1]

    done(make(), up_and_down)


def grow_older(db: sa.Connection, realm: Realm) -> None:
    """As if nothing had been in the tables that `OLDER` does not have."""
    for name in ("audit_head", "audit_key", "recovery"):
        ledger.shift(db, realm.keyring, removed=db.scalars(sa.select(metadata.tables[name].c.mac)).all())


@pytest.fixture
def older(make: Make, tmp_path: Path) -> World:
    """A fleet whose database is of an older release, its C2 not at work."""
    kek = tmp_path / "kek.json"
    kek_file.create(kek)
    world = World(sk.SUITE, make(), f"file://{kek}")
    two(world)
    world.do(topics.rotate, "t")
    world.carry()
    world.do(grow_older)
    world.store.close()
    done(world.place, lambda db: move(db, command.downgrade, OLDER))
    return world


def test_what_is_in_the_tables_stays(older: World) -> None:
    before = done(older.place, rows)
    assert {name for name, listed in before.items() if listed} >= {
        "client",
        "topic",
        "membership",
        "outbox",
        "dek_wrap",
    }

    def newest(db: sa.Connection) -> dict[str, list[dict[str, Any]]]:
        schema.migrate(db)
        return rows(db)

    def again(db: sa.Connection) -> dict[str, list[dict[str, Any]]]:
        move(db, command.downgrade, OLDER)
        return rows(db)

    after = done(older.place, newest)
    for name, listed in before.items():
        shown = [{column: row[column] for column in listed[0]} for row in after[name]] if listed else after[name]
        assert sorted(shown, key=repr) == listed
    assert not any(after[name] for name in after.keys() - before.keys())
    assert done(older.place, again) == before


def test_a_c2_goes_on_with_the_database_of_an_older_release(older: World) -> None:
    before = {device.key("t") for device in older.devices.values()}
    older.open()
    try:
        assert [each.action for each in older.do(chain.page, Filter(), 0, 10)] == [LOG_BEGUN]
        assert older.count(Delivery.SENT) == len(older.devices)
        older.settle_down()
        older.do(topics.rotate, "t")
        older.settle_down()
        assert {device.key("t") for device in older.devices.values()} == {older.topic_key("t")}
        assert older.topic_key("t") not in before
        assert older.readers("t", "a") == {"b"}
        older.crash()  # the ledger is added up
        older.do(verifying.verify_all)
    finally:
        older.store.close()
