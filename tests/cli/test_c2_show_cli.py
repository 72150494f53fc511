# SPDX-License-Identifier: Apache-2.0
"""``e4 c2 show``, ``health`` and ``ready``: what is said of the C2 itself reads as all else does."""

from __future__ import annotations

import re

import pytest

from e4c2.api import health
from tests.cli.c2_server import C2


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)


def test_its_keys_have_times_that_people_read_and_scripts_count_with(pk: C2) -> None:
    (line,) = (row for row in pk.table("c2", "show") if row[0] == "c2 keys")
    assert re.search(r"created \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", line[1])
    (key,) = pk.answer("c2", "show")["c2_keys"]
    assert isinstance(key["created"], float)


def test_a_c2_that_is_well_says_so_part_by_part(sk: C2) -> None:
    assert sk.answer("c2", "ready") == {"status": "ok"}
    assert sk.answer("c2", "health")["status"] == "ok"
    header, *parts = sk.table("c2", "health")
    assert header == ["name", "state", "detail"]
    assert {part[1] for part in parts} == {"ok"}


def test_one_that_is_not_ends_with_a_status(sk: C2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "DISK_LEAST", 2**62)
    sk.refused(18, "c2", "ready")
    done = sk.run("c2", "health")
    assert (done.code, done.stderr) == (1, "a part of the C2 fails; its detail says what to do")
    assert ["disk", "failed"] in [line.split()[:2] for line in done.stdout.splitlines()]
