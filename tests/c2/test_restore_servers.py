# SPDX-License-Identifier: Apache-2.0
"""A backup of one kind of database is restored into every other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from e4c2 import topics
from e4c2.recovery import backups, confirming
from e4c2.recovery.container import New
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from tests.c2.restoring import back_up, contents, keys_of
from tests.c2.world import World
from tests.databases import KINDS, DatabaseServer, database_server


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    with database_server(request.param) as made:
        yield made


def test_a_backup_goes_from_one_kind_of_database_to_another_and_back(
    sk: World, server: DatabaseServer, tmp_path: Path
) -> None:
    for name in ("a", "Ä", "ä", "z"):
        sk.add(name)
    sk.topic("t/ü", "a", "Ä")
    sk.do(topics.rotate, "t/ü")
    keys, there = keys_of(sk), server.make()
    before = sk.store.run(contents)
    back_up(sk, tmp_path / "first")
    backups.restore(tmp_path / "first", there, keys, lambda *_: None)
    with closing(Store(there)) as store:
        assert store.run(contents) == before
        realm = store.run(open_realm, keys.suite, keys.kmses, keys.clock)
        found = store.run(confirming.show, realm)
        assert found.backup is not None
        store.run(confirming.confirm, realm, found.backup)
        after = store.run(contents)
        asyncio.run(store.read(backups.write, realm, New.make(keys.kmses), tmp_path / "second"))
    backups.restore(tmp_path / "second", tmp_path / "back.db", keys, lambda *_: None)
    with closing(Store(tmp_path / "back.db")) as store:
        assert store.run(contents) == after
