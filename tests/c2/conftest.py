# SPDX-License-Identifier: Apache-2.0
"""A C2 for every test: a copy of one that was started once, as making schema and keys takes long."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

from e4backends import pk as pk_suite
from e4backends import sk as sk_suite
from e4core.suite import Suite
from e4kms import file as kek_file
from tests.c2.shop import Shop
from tests.c2.world import World
from tests.core.suites2 import GCM_SK, SIV_PK
from tests.suites import installed

FORMAT1 = ("sk", "pk")
FORMAT2 = (GCM_SK.name, SIV_PK.name)
FORMATS = {1: FORMAT1, 2: FORMAT2}
PAIRS = (("sk", SIV_PK.name), ("pk", GCM_SK.name))
"""Both formats, and both kinds of suites, in each."""
SUITES: dict[str, Suite] = {suite.name: suite for suite in (sk_suite.SUITE, pk_suite.SUITE, GCM_SK, SIV_PK)}

# Each store compiles its statements anew, which is a third of what most tests here take. So all stores of this process share
# them; for that their dialects must be equal, as they are in all but identity.
_COMPILED: LRUCache[object, object] = LRUCache(2000)
SQLiteDialect_pysqlite.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
SQLiteDialect_pysqlite.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]


@sa.event.listens_for(sa.Engine, "engine_connect")
def _share_what_is_compiled(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)


class Worlds:
    """Makes worlds by suite."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self._open: list[World] = []
        self._peopled: dict[tuple[str, Callable[[World], object]], World] = {}
        kek_file.create(folder / "kek.json")
        self._uri = f"file://{folder}/kek.json"
        for name, suite in SUITES.items():
            World(suite, folder / name, self._uri).store.close()

    def __call__(self, suite: str) -> World:
        if suite not in SUITES:
            SUITES[suite] = installed(suite)
            World(SUITES[suite], self._folder / suite, self._uri).store.close()
        database = self._database()
        shutil.copy(self._folder / suite, database)
        world = World(SUITES[suite], database, self._uri)
        self._open.append(world)
        return world

    def peopled(self, suite: str, people: Callable[[World], object]) -> World:
        """As ``people`` leaves a world of this suite, after a start of the C2 and all devices; it is called once."""
        made = self._peopled.get((suite, people))
        if made is None:
            made = self(suite)
            people(made)
            made.store.close()
            self._peopled[suite, people] = made
        world = made.again(self._database())
        self._open.append(world)
        return world

    def _database(self) -> Path:
        self._made += 1
        return self._folder / f"{self._made}.db"

    def close(self) -> None:
        while self._open:
            self._open.pop().store.close()


@pytest.fixture(scope="session")
def all_worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    return Worlds(tmp_path_factory.mktemp("c2"))


@pytest.fixture
def worlds(all_worlds: Worlds) -> Iterator[Worlds]:
    yield all_worlds
    all_worlds.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "format(number): its `world` is of the suites of this format, else of both formats"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite_name" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("format")
        # one pair or the other, by chance but always the same for a test: all four take too long
        chosen = FORMATS[marker.args[0]] if marker else PAIRS[crc32(metafunc.function.__name__.encode()) % 2]
        metafunc.parametrize("suite_name", chosen)


@pytest.fixture
def world(suite_name: str, worlds: Worlds) -> World:
    """Of both formats and both kinds of suites: what is tested with it holds in all."""
    return worlds(suite_name)


@pytest.fixture
def sk2(worlds: Worlds) -> World:
    return worlds(GCM_SK.name)


@pytest.fixture
def pk2(worlds: Worlds) -> World:
    return worlds(SIV_PK.name)


@pytest.fixture
def pk(worlds: Worlds) -> World:
    return worlds("pk")


@pytest.fixture
def sk(worlds: Worlds) -> World:
    return worlds("sk")


def two(world: World) -> None:
    """Devices, and a topic of theirs, a minute ago."""
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    world.clock.now += 60


@pytest.fixture
def shop(worlds: Worlds) -> Shop:
    return Shop(worlds.peopled("sk", two))


@pytest.fixture
def fleet(suite_name: str, worlds: Worlds) -> World:
    return worlds.peopled(suite_name, two)
