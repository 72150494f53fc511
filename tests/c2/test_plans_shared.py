# SPDX-License-Identifier: Apache-2.0
"""Key changes that several C2 on one PostgreSQL or MariaDB bring about: each is done once, and looks the same to all."""

from __future__ import annotations

import pytest

from e4c2 import changes, plans, standing, steering, topics
from e4c2.plans import Terms
from e4core.suite import Suite
from tests.c2.shared import Replicas, database, replicas
from tests.c2.world import World
from tests.core.suites2 import GCM_SK

__all__ = ["database", "replicas"]


@pytest.fixture
def suite() -> Suite:
    return GCM_SK


def tick(*worlds: World) -> None:
    worlds[0].clock.now += 1
    for each in worlds:
        each.do(steering.drive)


def test_plan_eviction_and_their_measure(replicas: Replicas) -> None:
    one, other = replicas.add(), replicas.add()
    for name in "abcd":
        one.add(name)
    one.topic("t", *"abcd")
    one.clock.now += 60
    one.devices["b"].away = True
    other.do(plans.begin, "t", Terms(quorum=0.75))
    one.settle_down()
    assert (one.do(plans.page, "t")[0].holding, one.names(standing.laggards, "t")) == (3, [])
    tick(one, other)
    assert [each.cause for each in one.do(standing.history, "t")] == ["activation"], "both have looked, one has done it"
    one.settle_down()
    tick(one, other)
    shown = other.do(standing.show, "t")
    assert (shown.members, shown.confirmed, shown.behind) == (4, 3, 1)
    assert one.names(standing.laggards, "t", "", 5) == ["b"]
    assert [(each.key, each.state) for each in other.do(standing.held_by, "b")] == [("behind", "sent")]
    one.devices["b"].away = False
    one.greet("b")
    one.settle_down()
    tick(one, other)
    assert other.do(plans.page, "t")[0].state == "done"
    asked = one.clock.now
    other.do(topics.leave, "t", ["c"], wait_s=10)
    one.do(topics.leave, "t", ["d"], wait_s=10)
    assert one.names(standing.evicted, "t", "c") == ["d"]
    one.clock.now = asked + 10
    tick(one, other)
    assert one.do(changes.open_revocations) == changes.Open(1, 0, one.clock.now - asked)
    one.settle_down()
    tick(one, other)
    measured = other.do(standing.show, "t").time_to_revoke
    assert (measured.revocations, measured.last_s, measured.open_s) == (1, one.clock.now - asked, None)
    assert one.do(standing.key_changes) == []
