# SPDX-License-Identifier: Apache-2.0
"""Which clock is wrong is told where it is wrong, and costs no command."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from e4backends import sk
from e4c2 import topics
from e4c2.api import health
from e4core.suite import Suite
from tests.c2.served import Served, serving, settings_in
from tests.c2.shared import Replicas, database, replicas
from tests.c2.world import NOW, Clock, World
from tests.core.suites2 import GCM_SK

__all__ = ["database", "replicas"]

OK = ("ok", "")
SET = "; set it, or the server's if each C2 says so"


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)


@pytest.fixture(params=(sk.SUITE, GCM_SK), ids=lambda each: each.name)
def suite(request: pytest.FixtureRequest) -> Suite:
    found: Suite = request.param
    return found


one_suite = pytest.mark.parametrize("suite", [sk.SUITE], ids=["sk"])


@pytest.fixture
def two(replicas: Replicas, tmp_path: Path) -> Iterator[tuple[Served, Served]]:
    """C2 at work on one database at a server."""
    shared = {"database": replicas.uri, "suite": replicas.suite.name}
    with serving(settings_in(tmp_path, **shared)) as one:
        shutil.copytree(one.settings.data, tmp_path / "other")
        (tmp_path / "other" / one.settings.replica_file.name).unlink()  # each C2 has an id of its own
        with serving(settings_in(tmp_path, data=tmp_path / "other", **shared)) as other:
            yield one, other


def clock_of(c2: Served) -> tuple[str, str]:
    parts = c2.http.get("/v1/c2/health").json()["parts"]
    (found,) = (each for each in parts if each["name"] == "clock")
    return found["state"], found["detail"]


def is_off(c2: Served, how: str) -> bool:
    """Whether it says that its clock is an hour off, give or take what a busy machine needs between two looks at a clock."""
    state, detail = clock_of(c2)
    said = re.fullmatch(rf"the clock is (\d+) s {how} the database server's{re.escape(SET)}", detail)
    return state == "degraded" and said is not None and abs(int(said[1]) - 3600) <= 30


def test_on_sqlite_a_clock_that_went_back_is_told_until_it_is_set(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        c2.topic("room", c2.client("lamp"))
        assert clock_of(c2) == OK
        c2.clock.ahead_s = -3600
        state, detail = clock_of(c2)
        assert state == "degraded"
        assert "behind what it was; set it, unless it was ahead" in detail
        assert c2.http.get("/readyz").json() == {"status": "degraded"}
        c2.clock.ahead_s = 0
        assert clock_of(c2) == OK


@one_suite
@pytest.mark.parametrize(("off_s", "how"), [(3600, "ahead of"), (-3600, "behind")])
def test_of_two_c2_the_one_whose_clock_is_wrong_says_so(two: tuple[Served, Served], off_s: float, how: str) -> None:
    wrong, right = two
    wrong.clock.ahead_s = off_s
    wrong.topic("room", wrong.client("lamp"))
    assert is_off(wrong, how)
    assert clock_of(right) == OK
    right.topic("hall", right.client("lantern"))
    assert is_off(wrong, how)
    wrong.clock.ahead_s = 0
    assert clock_of(wrong) == clock_of(right) == OK


@one_suite
def test_when_the_clock_of_the_server_is_wrong_each_c2_says_so(two: tuple[Served, Served]) -> None:
    for each in two:
        each.clock.ahead_s = -3600
    assert all(is_off(each, "behind") for each in two)


@one_suite
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)  # no test can set the clock of a MariaDB
def test_a_clock_that_went_back_together_with_the_server_s_is_told(replicas: Replicas, tmp_path: Path) -> None:
    world = replicas.add()
    world.sql(f"ALTER DATABASE {replicas.place.name} SET search_path = public, pg_catalog")
    set_server_clock(world, 0)
    with serving(settings_in(tmp_path, database=replicas.uri, kms=replicas.kek, suite=replicas.suite.name)) as c2:
        assert clock_of(c2) == OK
        set_server_clock(world, -3600)
        c2.clock.ahead_s = -3600
        state, detail = clock_of(c2)
        assert state == "degraded"
        assert "behind what it was; set it, unless it was ahead" in detail
        set_server_clock(world, 0)
        c2.clock.ahead_s = 0
        assert clock_of(c2) == OK


@one_suite
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_when_the_clock_of_the_server_was_wrong_nobody_s_own_is_blamed_afterwards(
    replicas: Replicas, tmp_path: Path
) -> None:
    world = replicas.add()
    world.sql(f"ALTER DATABASE {replicas.place.name} SET search_path = public, pg_catalog")
    set_server_clock(world, 3600)
    with serving(settings_in(tmp_path, database=replicas.uri, kms=replicas.kek, suite=replicas.suite.name)) as c2:
        assert is_off(c2, "behind")
        set_server_clock(world, 0)
        assert clock_of(c2) == OK


def set_server_clock(world: World, ahead_s: int) -> None:
    world.sql(
        "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS"
        f" $$ SELECT pg_catalog.clock_timestamp() + interval '{ahead_s} s' $$"
    )


@pytest.mark.parametrize("off_s", [3600, -3600])
def test_what_a_c2_with_a_wrong_clock_does_costs_no_command(replicas: Replicas, off_s: float) -> None:
    right, wrong = replicas.add(Clock(NOW)), replicas.add(Clock(NOW + off_s))
    for name in "abc":
        right.add(name)
    right.topic("t", "a", "b", "c")
    right.clock.now += 60
    for sends, orders in ((wrong, wrong), (wrong, right), (right, wrong), (right, right)):
        orders.do(topics.rotate, "t")
        sends.carry()
        right.obey()
        sends.receive()
        right.clock.now += 1
        wrong.clock.now += 1
    right.devices["b"].away = True
    wrong.do(topics.leave, "t", ["a"])
    wrong.carry()
    right.devices["b"].away = False
    # the wrong one is set right
    wrong.clock.now = right.clock.now
    right.greet()
    right.settle_down()
    assert right.states() == []
    assert all(right.digest_fits(name) for name in "abc")
    assert {name: device.key("t") for name, device in right.devices.items()} == {
        "a": None,
        "b": right.topic_key("t"),
        "c": right.topic_key("t"),
    }
    right.do(topics.rotate, "t")
    right.settle_down()
    assert right.readers("t", "b") == {"c"}
