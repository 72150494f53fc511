# SPDX-License-Identifier: Apache-2.0
"""A C2 of each suite, shared by the tests of a module, which choose names of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.c2.served import serving, settings_in
from tests.cli.c2_server import C2


@pytest.fixture(scope="module", params=["sk", "pk"])
def c2(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[C2]:
    yield from _serve(tmp_path_factory.mktemp("c2"), request.param)


@pytest.fixture(scope="module")
def sk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[C2]:
    yield from _serve(tmp_path_factory.mktemp("sk"), "sk")


@pytest.fixture(scope="module")
def pk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[C2]:
    yield from _serve(tmp_path_factory.mktemp("pk"), "pk")


def _serve(folder: Path, suite: str) -> Iterator[C2]:
    with serving(settings_in(folder, suite=suite)) as served:
        yield C2(served, folder)
