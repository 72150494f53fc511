# SPDX-License-Identifier: Apache-2.0
"""A row that was valid once and is no more is not used, however short it stands in the database; nothing else is an alarm."""

from __future__ import annotations

import asyncio
import os
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from e4c2 import clients, ledger, tokens, topics
from e4c2.c2keys import NO_VERSION
from e4c2.model import GRANTING, membership, token, topic
from e4c2.roll import Roll, State, part
from e4c2.rows import Realm, find_all
from e4core.errors import Denied, NotFound, StorageError, Tampered
from tests.c2.test_resealing import RESEALED, reseal_all, rotate
from tests.c2.world import World

PATIENCE_S = 20.0
KEPT = ("ledger", *GRANTING)


def keep(world: World, *tables: str) -> None:
    """As somebody does who can read the database."""
    for table in tables:
        world.sql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")


def put_back(world: World, *tables: str) -> None:
    """Whatever of it is not there any more, or not as it was."""
    for table in tables:
        world.sql(f"INSERT OR REPLACE INTO {table} SELECT * FROM kept_{table}")


@contextmanager
def sums(world: World) -> Iterator[list[str]]:
    """The statements that add up a table in the meantime; there is one for each table, and membership is one."""
    seen: list[str] = []

    def look(_db: object, _cursor: object, statement: str, *_more: object) -> None:
        if statement.split() == ["SELECT", "membership.mac", "FROM", "membership"]:
            seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", look)
    yield seen
    sa.event.remove(sa.Engine, "before_cursor_execute", look)


@pytest.fixture
def fleet(sk: World) -> World:
    """A token that was revoked and a member that was evicted, both still kept by somebody who can write to the database."""
    for name in "ab":
        sk.add(name)
    sk.topic("t", "a", "b")
    made, text = sk.do(tokens.create, "contractor")
    keep(sk, "token", "membership")
    sk.do(tokens.revoke, made.id)
    sk.do(topics.leave, "t", ["a"])
    sk.settle_down()
    sk.privates["contractor"] = [text]
    return sk


def log_in(world: World) -> None:
    world.do(tokens.authenticate, world.privates["contractor"][0].decode())


def test_a_revoked_token_that_is_put_back_lets_nobody_in(fleet: World) -> None:
    put_back(fleet, "token")
    with fleet.refuses(Tampered):
        log_in(fleet)
    fleet.sql("DELETE FROM token")
    with fleet.refuses(Denied):
        log_in(fleet)
    fleet.do(topics.rotate, "t")
    fleet.do(lambda db, realm: ledger.verify(db, realm.keyring))


def test_an_evicted_member_that_is_put_back_gets_no_key(fleet: World) -> None:
    put_back(fleet, "membership")
    fleet.do(topics.rotate, "t")
    sealed = fleet.claim()
    assert {each.client for each in sealed} == {bytes(fleet.devices["b"].id)}
    assert [each.refusal for each in fleet.deliveries("a") if each.state == "refused"] == ["tampered"]
    fleet.sql("DELETE FROM membership WHERE client = :client", client=bytes(fleet.devices["a"].id))
    fleet.do(lambda db, realm: ledger.verify(db, realm.keyring))


def test_what_is_put_back_again_and_again_is_added_up_once(fleet: World) -> None:
    put_back(fleet, "token", "membership")
    with sums(fleet) as seen:
        for _ in range(5):
            with fleet.refuses(Tampered):
                log_in(fleet)
            with fleet.refuses(Tampered):
                fleet.do(find_all, membership)
        assert len(seen) == 1
        fleet.sql("DELETE FROM token")
        fleet.sql("DELETE FROM membership WHERE client = :client", client=bytes(fleet.devices["a"].id))
        fleet.do(lambda db, realm: ledger.verify(db, realm.keyring))
        assert len(seen) == 2
        put_back(fleet, "token")
        with fleet.refuses(Tampered):  # right again, so that the next alarm is one anew
            log_in(fleet)
        assert len(seen) == 3


def test_the_whole_database_put_back_while_the_c2_runs_is_found(sk: World) -> None:
    """With its ledger, so that all adds up."""
    sk.topic("t")
    made, text = sk.do(tokens.create, "contractor")
    keep(sk, *KEPT)
    sk.do(tokens.revoke, made.id)
    sk.do(topics.rotate, "t")
    put_back(sk, *KEPT)
    for use in (
        lambda: sk.do(tokens.authenticate, text.decode()),
        lambda: sk.do(topics.create, "u"),
        lambda: sk.do(topics.rotate, "t"),
        lambda: sk.do(lambda db, realm: ledger.verify(db, realm.keyring)),
    ):
        with sums(sk) as seen, sk.refuses(Tampered):
            use()
        assert seen == []


def test_what_only_this_process_changes_is_never_added_up(fleet: World) -> None:
    def fails(db: sa.Connection, realm: Realm) -> None:
        topics.rotate(db, realm, "t")
        topics.create(db, realm, "v")
        raise NotFound("of no use")

    def fails_within(db: sa.Connection, realm: Realm) -> None:
        for outer in (False, True):
            with pytest.raises(NotFound), db.begin_nested():
                topics.create(db, realm, f"outer {outer}")
                with db.begin_nested():
                    topics.create(db, realm, f"inner {outer}")
                with pytest.raises(NotFound), db.begin_nested():
                    fails(db, realm)
                topics.rotate(db, realm, f"inner {outer}")
                topics.rotate(db, realm, "t")
                if outer:
                    raise NotFound("of no use")
                raise NotFound("neither")
        topics.rotate(db, realm, "t")

    def fails_to_commit(db: sa.Connection, realm: Realm) -> None:
        topics.rotate(db, realm, "t")
        db.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        db.execute(sa.text("INSERT INTO membership SELECT topic, x'00', generation, mac, created FROM membership"))

    with sums(fleet) as seen:
        for use_case, error in ((fails, NotFound), (fails_within, None), (fails_to_commit, StorageError)):
            if error is None:
                fleet.do(use_case)
            else:
                with fleet.refuses(error):
                    fleet.do(use_case)
            fleet.do(topics.rotate, "t")
            fleet.do(topics.leave, "t", ["b"])
            fleet.do(topics.join, "t", ["b"])
        fleet.settle_down()
        for purpose in RESEALED:
            rotate(fleet, purpose)
        del seen[:]  # a rotation adds up, twice
        reseal_all(fleet)
        fleet.do(topics.rotate, "t")
        fleet.do(find_all, topic)
        assert seen == []
    fleet.do(lambda db, realm: ledger.verify(db, realm.keyring))


def test_a_row_of_a_transaction_that_was_taken_back_is_not_valid(sk: World) -> None:
    """Whoever saw it in the files of the database must gain nothing by it."""

    def fails(db: sa.Connection, realm: Realm) -> None:
        made = tokens.create(db, realm, "contractor")
        rows.extend(dict(row) for row in db.execute(sa.select(token)).mappings())
        texts.append(made[1].decode())
        raise NotFound("of no use")

    rows: list[dict[str, object]] = []
    texts: list[str] = []
    with pytest.raises(NotFound):
        sk.do(fails)
    sk.store.run(lambda db: db.execute(sa.insert(token), rows) and None)
    with sk.refuses(Tampered):
        sk.do(tokens.authenticate, texts[0])


def test_a_reader_that_sees_the_past_raises_no_alarm(fleet: World) -> None:
    """It is asked again, and then sees the present."""
    begun, changed = threading.Event(), threading.Event()
    seen: list[int] = []

    def look(db: sa.Connection, realm: Realm) -> int:
        db.execute(sa.select(sa.func.count()).select_from(topic))  # from here on it sees no change
        begun.set()
        assert changed.wait(PATIENCE_S)
        generations = db.scalars(sa.select(topic.c.generation)).all()
        seen.extend(generations)
        (row,) = find_all(db, realm, topic)
        return int(row["generation"])

    async def both() -> int:
        reading = asyncio.create_task(fleet.store.read(look, fleet.realm))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        await fleet.store.write(topics.rotate, fleet.realm, "t")
        for purpose in RESEALED:  # nor does one whose key is gone meanwhile
            await asyncio.to_thread(rotate, fleet, purpose)
        await asyncio.to_thread(reseal_all, fleet)
        for purpose in RESEALED:
            fleet.realm.keyring.forget(purpose, 1)
        changed.set()
        return await reading

    with sums(fleet) as added_up:
        now = asyncio.run(both())
        assert len(added_up) == 2, "by the rotation"
    assert len(seen) == 2
    assert now == seen[1] > seen[0]


def test_what_a_reader_finds_wrong_is_wrong(fleet: World) -> None:
    put_back(fleet, "token")
    text = fleet.privates["contractor"][0].decode()
    with fleet.refuses(Tampered):
        asyncio.run(fleet.store.read(tokens.authenticate, fleet.realm, text))


def test_what_another_process_wrote_is_taken_up(fleet: World) -> None:
    other = World(fleet.suite, fleet.database, fleet._kek_uri, fleet.clock)
    made, text = fleet.do(tokens.create, "ours")
    other.do(clients.create, "c", os.urandom(32), NO_VERSION)
    other.do(topics.join, "t", ["c"])
    with sums(fleet) as seen:
        assert len(asyncio.run(fleet.store.read(find_all, fleet.realm, membership))) == 2
        assert len(seen) == 1, "by the writer"
        fleet.do(topics.rotate, "t")
        fleet.do(topics.leave, "t", ["c"])
        assert len(seen) == 1
    other.do(tokens.authenticate, text.decode())
    fleet.sql("CREATE TABLE ours AS SELECT * FROM token")
    other.do(tokens.revoke, made.id)
    other.store.close()
    with sums(fleet) as seen:
        fleet.do(topics.create, "u")
        assert len(seen) == 1
    fleet.sql("INSERT INTO token SELECT * FROM ours")
    with fleet.refuses(Tampered):
        fleet.do(tokens.authenticate, text.decode())


def test_a_row_costs_some_bytes_of_memory() -> None:
    rows = 50_000
    tracemalloc.start()
    roll = Roll()
    roll.fill(State(1, 0), {part(os.urandom(36)) for _ in range(rows)})
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 120 * rows
