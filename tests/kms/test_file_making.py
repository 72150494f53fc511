# SPDX-License-Identifier: Apache-2.0
"""A key of the ``file:`` driver is made once, whole or not at all, whoever else makes one there."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from e4core.errors import KmsError
from e4kms.file import create, open_kms
from tests.kms.samples import CONTEXT, SECRET


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "kek.json"
    assert create(path)
    return path


def test_making_a_key_again_leaves_the_first(path: Path) -> None:
    before = path.read_bytes()
    assert not create(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_key_is_not_made_through_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "kek.json").symlink_to(tmp_path / "elsewhere.json")
    assert not create(tmp_path / "kek.json")
    assert not (tmp_path / "elsewhere.json").exists()


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_folder_that_cannot_hold_a_key_is_an_error(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KmsError, match=r"cannot be written.*; name a file in a folder that exists"):
        create(tmp_path / folder / "kek.json")


def test_a_key_that_cannot_get_its_name_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KmsError, match="cannot be written"):
        create(tmp_path / ("k" * 300))
    assert not list(tmp_path.iterdir())


ROUNDS = 25
RACERS = 4


def race(folder: Path, start: Any, results: Any) -> None:
    outcome = []
    for number in range(ROUNDS):
        path = folder / f"{number}.json"
        start.wait(timeout=60)
        made = create(path)
        outcome.append((made, open_kms(f"file://{path}").wrap(SECRET, CONTEXT).key_id))
    results.put(outcome)


def test_racing_creators_end_with_one_key(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Barrier(RACERS), spawn.Queue()
    racers = [spawn.Process(target=race, args=(tmp_path, start, results)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    outcomes = [results.get(timeout=120) for _ in racers]
    for racer in racers:
        racer.join(timeout=60)
    for of_one_file in zip(*outcomes, strict=True):
        assert sum(made for made, _ in of_one_file) == 1
        assert len({key_id for _, key_id in of_one_file}) == 1
    assert len(list(tmp_path.iterdir())) == ROUNDS
