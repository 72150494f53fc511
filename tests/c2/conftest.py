# SPDX-License-Identifier: Apache-2.0
"""A C2 for every test: a copy of one that was started once, as making schema and keys takes long."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from e4backends import pk as pk_suite
from e4backends import sk as sk_suite
from e4core.suite import Suite
from e4kms import file as kek_file
from tests.c2.world import World
from tests.core.suites2 import GCM_SK, SIV_PK
from tests.suites import installed

FORMAT1 = ("sk", "pk")
FORMAT2 = (GCM_SK.name, SIV_PK.name)
FORMATS = {1: FORMAT1, 2: FORMAT2}
SUITES: dict[str, Suite] = {suite.name: suite for suite in (sk_suite.SUITE, pk_suite.SUITE, GCM_SK, SIV_PK)}


class Worlds:
    """Makes worlds by suite."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0
        self._open: list[World] = []
        kek_file.create(folder / "kek.json")
        self._uri = f"file://{folder}/kek.json"
        for name, suite in SUITES.items():
            World(suite, folder / name, self._uri).store.close()

    def __call__(self, suite: str) -> World:
        self._made += 1
        if suite not in SUITES:
            SUITES[suite] = installed(suite)
            World(SUITES[suite], self._folder / suite, self._uri).store.close()
        database = self._folder / f"{self._made}.db"
        shutil.copy(self._folder / suite, database)
        world = World(SUITES[suite], database, self._uri)
        self._open.append(world)
        return world

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
    config.addinivalue_line("markers", "format(number): its `world` is of this format alone, else of both")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "world" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("format")
        numbers = marker.args if marker else FORMATS
        metafunc.parametrize("world", [name for number in numbers for name in FORMATS[number]], indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest, worlds: Worlds) -> World:
    """Of every kind of suite: what is tested with it holds in all."""
    return worlds(request.param)


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
