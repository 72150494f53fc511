# SPDX-License-Identifier: Apache-2.0
"""How many statements a change costs: as many for one device as for a thousand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, clients, topics
from e4c2.model import Delivery, Reason, membership
from e4c2.rows import insert
from e4c2.sealing import claim
from tests.c2.world import World


class Statements:
    """Counts what goes to the database inside."""

    def __init__(self, db: sa.Connection) -> None:
        self._db, self.count = db, 0

    def __enter__(self) -> Statements:
        sa.event.listen(self._db, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._db, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self.count += 1


def counted(world: World, use: Callable[..., object], *args: object) -> int:
    def run(db: sa.Connection, realm: Any) -> int:
        with Statements(db) as statements:
            use(db, realm, *args)
        return statements.count

    return world.do(run)


@pytest.fixture
def crowd(sk: World) -> World:
    """A topic with a thousand members."""
    sk.do(topics.create, "t")
    sk.do(_crowd, 1000)
    return sk


def _crowd(db: sa.Connection, realm: Any, size: int) -> None:
    t = realm.suite.derive_id("t")
    for i in range(size):
        name = f"d{i}"
        clients.create(db, realm, name, i.to_bytes(31, "big") + b"\x01", 0)
        insert(db, realm, membership, topic=t, client=realm.suite.derive_id(name), created=0.0)


def test_rotation_costs_the_same_for_one_member_and_a_thousand(crowd: World) -> None:
    many = counted(crowd, topics.rotate, "t")
    assert crowd.count(Delivery.PENDING) == 1000
    crowd.do(topics.create, "one")
    crowd.add("x")
    crowd.do(topics.join, "one", ["x"])
    assert many == counted(crowd, topics.rotate, "one") <= 15
    assert counted(crowd, claim, 500) <= 20
    assert crowd.count(Delivery.SENDING) == 500


def test_batch_in_which_all_must_wait_costs_no_more(crowd: World) -> None:
    for _ in range(7):  # then the seconds of these devices are used up
        crowd.do(topics.rotate, "t")
        crowd.claim()
        crowd.claim()
    crowd.do(topics.rotate, "t")
    assert counted(crowd, claim, 500) <= 20


def test_new_c2_key_costs_the_same_for_one_client_and_for_forty(pk: World) -> None:
    pk.add("a")
    one = counted(pk, c2keys.new, Reason.ROUTINE)
    pk.do(c2keys.finish, force=True)
    for i in range(39):
        pk.add(f"d{i}")
    assert counted(pk, c2keys.new, Reason.ROUTINE) == one
