# SPDX-License-Identifier: Apache-2.0
"""The doctor of a C2 whose database is at a PostgreSQL or MariaDB server."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

from e4backends import sk
from e4c2.recovery import doctor
from e4c2.recovery.findings import Finding, Level
from e4c2.settings import Settings
from e4core.suite import Suite
from tests.c2.served import serving, settings_in
from tests.c2.shared import Replicas, database, replicas

__all__ = ["database", "replicas"]

CLOCK = "clock of the server"


@pytest.fixture
def suite() -> Suite:
    return sk.SUITE


def examined(settings: Settings, ahead_s: float = 0.0) -> dict[str, Finding]:
    found = asyncio.run(doctor.examine(settings, lambda: time.time() + ahead_s))
    return {each.check: each for each in found}


def test_all_checks_are_made_of_a_database_at_a_server(replicas: Replicas, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, database=replicas.uri)
    with serving(settings) as c2:
        c2.topic("room", c2.client("lamp"))
        seen = examined(settings)
    assert list(seen) == list(doctor.CHECKS)
    assert {name for name, each in seen.items() if each.level is Level.FAILURE} == set()
    assert {name for name, each in seen.items() if each.level is Level.UNKNOWN} == {"broker"}
    assert (seen[CLOCK].level, seen[CLOCK].found) == (Level.OK, "the database server has the same time")


@pytest.mark.parametrize(("ahead_s", "how"), [(3600, "behind"), (-3600, "ahead of")])
def test_a_clock_that_is_not_the_server_s_is_found(
    replicas: Replicas, tmp_path: Path, ahead_s: float, how: str
) -> None:
    settings = settings_in(tmp_path, database=replicas.uri)
    with serving(settings):
        found = examined(settings, ahead_s)[CLOCK]
    assert found.level is Level.WARNING
    said = re.fullmatch(rf"the database server's clock is (\d+) s {how} this one", found.found)
    # what a busy machine needs between two looks at a clock
    assert said and abs(int(said[1]) - abs(ahead_s)) <= 30


def test_a_broker_that_takes_its_time_is_not_taken_for_a_clock_that_differs(replicas: Replicas, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, database=replicas.uri)
    with serving(settings):
        begun = iter([time.time() - 60])
        found = asyncio.run(doctor.examine(settings, lambda: next(begun, time.time())))
    assert {each.check: each.level for each in found}[CLOCK] is Level.OK
