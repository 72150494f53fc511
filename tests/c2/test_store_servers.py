# SPDX-License-Identifier: Apache-2.0
"""Stores at a server that goes away, comes back, or is held by somebody who hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa

from e4c2.store import servers
from e4c2.store.engine import Store
from e4core.errors import Conflict, StorageError
from tests.databases import KINDS, DatabaseServer, database_server

IDLE_S = 1
PATIENCE_S = 60


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """Of its own, as it is stopped."""
    with database_server(request.param) as made:
        yield made


def one(db: sa.Connection) -> int:
    return int(db.scalar(sa.text("SELECT 1")) or 0)


def until_it_answers(store: Store) -> None:
    """After a crash it looks at its files first."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            store.run(one)
        except StorageError:
            assert time.monotonic() < until
            time.sleep(0.05)
        else:
            return


def test_who_asks_while_it_is_away_is_told_so_and_it_goes_on(server: DatabaseServer) -> None:
    with closing(Store(server.make())) as store:
        server.kill()
        for run in (store.write, store.read):
            for _ in range(2):  # what was open is found lost, and then nothing listens
                with pytest.raises(StorageError):
                    asyncio.run(run(one))
        server.start()
        until_it_answers(store)
        assert store.run(one) == asyncio.run(store.read(one)) == 1


def test_who_closes_finishes_what_was_handed_in(server: DatabaseServer) -> None:
    place = server.make()
    store = Store(place)

    def slow(db: sa.Connection) -> None:
        db.execute(sa.text("CREATE TABLE slow (id INTEGER)"))
        time.sleep(0.3)
        db.execute(sa.text("INSERT INTO slow VALUES (1)"))

    written = store._database.write(slow)
    store.close()
    assert written.done()
    with closing(Store(place)) as store:
        assert store.run(lambda db: db.scalar(sa.text("SELECT count(*) FROM slow"))) == 1


def test_the_settings_of_a_connection_outlive_a_transaction_that_is_rolled_back(server: DatabaseServer) -> None:
    timeouts = {"postgresql": "SHOW lock_timeout", "mariadb": "SELECT @@innodb_lock_wait_timeout"}

    def fail(db: sa.Connection) -> None:
        raise Conflict("no")

    with closing(Store(server.make())) as store:
        with pytest.raises(Conflict):
            store.run(fail)
        asked = timeouts[server._kind]
        assert store.run(lambda db: str(db.scalar(sa.text(asked)))) in ("1min", "60")


def test_who_hangs_amid_a_transaction_loses_its_turn(server: DatabaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    place = server.make()
    with closing(Store(place)) as store:
        name = "idle_in_transaction_session_timeout" if server._kind == "postgresql" else "idle_transaction_timeout"
        short = f"SET {name} = {'1000' if server._kind == 'postgresql' else '1'}"

        def hang(db: sa.Connection) -> None:
            db.execute(sa.text(short))
            time.sleep(IDLE_S * 2.5)
            db.execute(sa.text("SELECT 1"))

        with pytest.raises(StorageError):
            store.run(hang)
        assert store.run(one) == 1
    assert servers._IDLE_S <= servers._LOCK_WITHIN_S
