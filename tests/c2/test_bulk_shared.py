# SPDX-License-Identifier: Apache-2.0
"""Batches and enrolments by several C2 on one PostgreSQL or MariaDB."""

from __future__ import annotations

import pytest

from e4c2 import clients, topics
from e4c2.enrolment import bulk, tokens
from e4c2.enrolment.bulk import Made
from e4core.errors import Conflict, Denied, InvalidInput, NotFound
from e4core.suite import Suite
from tests.c2.shared import Replicas, database, replicas
from tests.c2.test_bulk import new, outcome
from tests.c2.test_enrolment import Newcomer, issued
from tests.core.suites2 import SIV_PK

__all__ = ["database", "replicas"]


@pytest.fixture
def suite() -> Suite:
    return SIV_PK


def test_what_one_has_made_the_others_find(replicas: Replicas) -> None:
    one, other = replicas.add(), replicas.add()
    batch = [new(one, f"d{i}") for i in range(3)]
    first = one.do(bulk.create_clients, [*batch, new(one, "\n")])
    assert [outcome(each) for each in first] == [True, True, True, InvalidInput]
    again = other.do(bulk.create_clients, [*batch, new(other, "d0")])
    assert [outcome(each) for each in again] == [False, False, False, Conflict]
    assert [each.what for each in again if isinstance(each, Made)] == [
        each.what for each in first if isinstance(each, Made)
    ]
    assert [outcome(each) for each in other.do(bulk.create_topics, ["t", "t2"])] == [True, True]
    assert [outcome(each) for each in one.do(bulk.create_topics, ["t"])] == [False]
    joined = one.do(bulk.join, "t", ["d0", "d1", "nobody"])
    assert [outcome(each) for each in joined.results] == [True, True, NotFound]
    assert other.names(topics.members, "t") == ["d0", "d1"]
    removed = other.do(bulk.remove_clients, ["d1", "d2", "nobody"])
    assert [outcome(each) for each in removed.results] == [True, True, NotFound]
    assert one.names(clients.page) == ["d0"]


def test_token_is_used_up_at_all(replicas: Replicas) -> None:
    one, other = replicas.add(), replicas.add()
    token = issued(one, uses=1)
    made = Newcomer.made(other, "plant/1").enrol(token)
    assert made == one.do(clients.show, "plant/1")
    assert one.names(topics.members, "t") == ["plant/1"]
    with pytest.raises(Denied):
        Newcomer.made(one, "plant/2").enrol(token)
    assert [each.uses for each in one.do(tokens.page)] == [0]
    other.do(tokens.revoke, token.id)
    assert one.do(tokens.page) == []
