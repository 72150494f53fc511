# SPDX-License-Identifier: Apache-2.0
"""Several C2 on one database at a real server, each with a store and keys of its own, stepped by the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from e4c2.locksmith import Locksmith
from e4c2.model import realm as realm_table
from e4c2.store.address import Address
from e4core.suite import Suite
from e4kms import file as kek_file
from e4kms.keyring import UNLIMITED
from tests.c2.world import Clock, World
from tests.databases import KINDS, DatabaseServer, database_server

_DATABASE_ID = sa.select(realm_table.c.database_id)


class Replicas:
    """Makes C2 on one new database; the first one has the devices."""

    def __init__(self, place: Address, folder: Path, suite: Suite) -> None:
        self.place, self.suite = place, suite
        self.kek = f"file://{folder}/kek.json"
        kek_file.create(folder / "kek.json")
        self.worlds: list[World] = []

    @property
    def uri(self) -> str:
        """Of the database, as the settings have it."""
        place = self.place
        return f"{place.kind}://{place.user}@{place.host}:{place.port}/{place.name}"

    def add(self, clock: Clock | None = None) -> World:
        """Args: clock: of its own, else that of the first one."""
        clock = clock or (self.worlds[0].clock if self.worlds else None)
        made = World(self.suite, self.place, self.kek, clock)
        if self.worlds:
            made.devices, made.privates = self.worlds[0].devices, self.worlds[0].privates
            made.wire, made.reports = self.worlds[0].wire, self.worlds[0].reports
        self.worlds.append(made)
        return made

    def locksmith(self, world: World) -> Locksmith:
        kmses = {self.kek: kek_file.open_kms(self.kek)}
        database_id = world.store.run(lambda db: db.scalar(_DATABASE_ID)) or b""
        return Locksmith(world.store, world.realm, database_id, kmses, UNLIMITED)

    def close(self) -> None:
        for each in self.worlds:
            each.store.close()


@pytest.fixture(scope="session", params=KINDS)
def database(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server of each kind, for all tests of a process."""
    with database_server(request.param) as server:
        yield server


@pytest.fixture
def replicas(database: DatabaseServer, tmp_path: Path, suite: Suite) -> Iterator[Replicas]:
    made = Replicas(database.make(), tmp_path, suite)
    yield made
    made.close()
