# SPDX-License-Identifier: Apache-2.0
"""The database: durable, private, all or nothing, and of our schema."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from e4backends import sk as sk_suite
from e4c2 import topics
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.errors import Conflict, E4Error, KmsError, StorageError
from e4kms import file as kek_file
from tests.c2.conftest import Worlds
from tests.c2.world import World

ROOT_OF_CLIENT = "SELECT rootpage FROM sqlite_master WHERE name = 'client'"


def pragma(name: str) -> sa.TextClause:
    return sa.text(f"PRAGMA {name}")


@pytest.mark.parametrize(
    ("name", "value"), [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)]
)
def test_every_connection_is_durable_and_strict(sk: World, name: str, value: object) -> None:
    assert sk.store.run(lambda db: db.scalar(pragma(name))) == value
    assert asyncio.run(sk.store.read(lambda db: db.scalar(pragma(name)))) == value


@pytest.mark.parametrize("name", ["c2.db", "c2?mode=ro&x=#%20:1.db"])
def test_files_are_private_whatever_their_name(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / name)
    files = list(tmp_path.iterdir())
    assert {path.name for path in files} == {name, f"{name}-wal", f"{name}-shm"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    store.close()


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o004, 0o002])
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_a_database_that_is_open_to_others_is_refused_with_the_remedy(tmp_path: Path, suffix: str, bit: int) -> None:
    database = tmp_path / "c2.db"
    Store(database).close()
    before = database.read_bytes()
    (tmp_path / "link.db").symlink_to(database)
    path = tmp_path / f"c2.db{suffix}"
    path.touch(0o600)
    path.chmod(0o600 | bit)
    for name in ("c2.db", "link.db"):
        with pytest.raises(StorageError, match=f"chmod 600 {path}$"):
            Store(tmp_path / name)
    assert database.read_bytes() == before
    path.chmod(0o600)
    Store(database).close()


def test_use_case_that_raises_is_rolled_back_whole(sk: World) -> None:
    def fails(db: sa.Connection) -> None:
        topics.create(db, sk.realm, "t")
        raise RuntimeError

    before = sk.dump()
    with pytest.raises(RuntimeError):
        sk.store.run(fails)
    assert sk.dump() == before
    sk.do(topics.create, "t")


def test_reader_sees_only_what_is_committed_and_cannot_block_the_writer(sk: World) -> None:
    async def run() -> None:
        sk.do(topics.create, "t")
        async with asyncio.TaskGroup() as tasks:
            for i in range(20):
                tasks.create_task(sk.store.write(topics.create, sk.realm, f"t{i}"))
                tasks.create_task(sk.store.read(topics.page, sk.realm))

    asyncio.run(run())
    assert len(sk.do(topics.page)) == 21


@pytest.mark.parametrize("content", [b"not a database at all" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_file_that_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c2.db"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(StorageError, match="cannot be used as a database"):
        Store(path)
    assert path.read_bytes() == content


def test_place_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "c2.db"):
        with pytest.raises(StorageError):
            Store(path)


def sqlite(path: Path, *statements: str) -> None:
    path.touch(0o600)
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    sqlite(tmp_path / "a.db", "CREATE TABLE client (x)")
    sqlite(tmp_path / "b.db", "CREATE TABLE invoices (x)", "INSERT INTO invoices VALUES (1)")
    for name in ("a.db", "b.db"):
        with pytest.raises(StorageError, match="another program"):
            Store(tmp_path / name)
        db = sqlite3.connect(tmp_path / name)
        assert len(db.execute("SELECT name FROM sqlite_master").fetchall()) == 1
        db.close()


def test_database_of_a_newer_release_is_refused_with_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "c2.db"
    Store(path).close()
    sqlite(path, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="another release"):
        Store(path)


def test_damaged_database_is_an_error_of_ours(worlds: Worlds) -> None:
    world = worlds("sk")
    world.topic("t")
    world.store.close()
    data = bytearray(world.database.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    world.database.write_bytes(bytes(data))
    with pytest.raises(E4Error):
        world.open()
        world.dump()


def test_table_that_is_gone_is_an_error_of_ours(sk: World) -> None:
    sk.sql("DROP TABLE outbox")
    with pytest.raises(StorageError):
        sk.claim()


def test_table_that_is_damaged_is_an_error_of_ours(worlds: Worlds) -> None:
    world = worlds("sk")
    world.add("a")
    world.store.close()
    db = sqlite3.connect(world.database)
    (page,), (size,) = (db.execute(q).fetchone() for q in (ROOT_OF_CLIENT, "PRAGMA page_size"))
    db.close()
    with world.database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    with pytest.raises(StorageError):
        world.open()


def test_realm_is_made_once_and_found_again(sk: World) -> None:
    sk.do(topics.create, "t")
    key = sk.topic_key("t")
    sk.crash()
    assert sk.topic_key("t") == key


def test_database_opens_only_with_its_kek_and_its_suite(worlds: Worlds, tmp_path: Path) -> None:
    world = worlds("pk")
    kek_file.create(tmp_path / "kek.json")
    uri = f"file://{tmp_path}/kek.json"
    other = {uri: kek_file.open_kms(uri)}
    with world.refuses(KmsError):
        world.store.run(open_realm, world.suite, other, world.clock)
    with world.refuses(Conflict):
        world.store.run(open_realm, sk_suite.SUITE, other, world.clock)
    with world.refuses(KmsError):
        world.store.run(open_realm, world.suite, {world._kek_uri: other[uri]}, world.clock)
