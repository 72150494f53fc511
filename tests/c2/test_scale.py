# SPDX-License-Identifier: Apache-2.0
"""How many statements a change costs: as many for one device as for a thousand.

What is said here holds on every kind of database (`test_scale_servers`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, clients, delivery, settling, standing, topics
from e4c2.model import Delivery, Reason, client, membership
from e4c2.reports import receive_all
from e4c2.rows import insert_all
from e4c2.sealing import claim
from e4core.keys import report_topic
from e4core.transport import Incoming
from tests.c2.world import World


class Statements:
    """Counts what goes to the database inside."""

    def __init__(self, db: sa.Connection) -> None:
        self._db = db
        self.seen: list[str] = []

    def __enter__(self) -> Statements:
        sa.event.listen(self._db, "before_cursor_execute", self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._db, "before_cursor_execute", self._count)

    def _count(self, _db: object, _cursor: object, statement: str, *_: object) -> None:
        self.seen.append(statement)


def statements(world: World, use: Callable[..., object], *args: object) -> list[str]:
    def run(db: sa.Connection, realm: Any) -> list[str]:
        with Statements(db) as statements:
            use(db, realm, *args)
        return statements.seen

    return world.do(run)


def counted(world: World, use: Callable[..., object], *args: object) -> int:
    return len(statements(world, use, *args))


def at_most(world: World, on_sqlite: int, on_servers: int) -> int:
    """On servers some of it is a statement or two more."""
    return on_sqlite if isinstance(world.place, Path) else on_servers


@pytest.fixture
def crowd(sk: World) -> World:
    """A topic with a thousand members."""
    sk.do(topics.create, "t")
    sk.do(crowded, 1000)
    return sk


def crowded(db: sa.Connection, realm: Any, size: int) -> None:
    t = realm.suite.derive_id("t")
    shared = {"status": "active", "pending_key": None, "pending_private": None, "c2_key": 0, "reports": True}
    ids = [realm.suite.derive_id(f"d{i}") for i in range(size)]
    each = [{"id": of, "name": f"d{i}", "key": i.to_bytes(31, "big") + b"\x01"} for i, of in enumerate(ids)]
    insert_all(db, realm, client, [{**one, **shared, "created": 0.0, "last_report": None} for one in each])
    insert_all(db, realm, membership, [{"topic": t, "client": of, "created": 0.0} for of in ids])


def test_rotation_costs_the_same_for_one_member_and_a_thousand(crowd: World) -> None:
    many = counted(crowd, topics.rotate, "t")
    assert crowd.count(Delivery.PENDING) == 1000
    crowd.do(topics.create, "one")
    crowd.add("x")
    crowd.do(topics.join, "one", ["x"])
    assert (
        many == counted(crowd, topics.rotate, "one") <= at_most(crowd, 21, 23)
    )  # with its change, its plan and its event
    assert counted(crowd, claim, 500) <= 20
    assert crowd.count(Delivery.SENDING) == 500


def test_commands_of_format_2_cost_the_same_for_one_device_and_five_hundred(sk2: World) -> None:
    sk2.do(topics.create, "t")
    sk2.do(crowded, 500)
    sk2.do(topics.create, "one")
    sk2.add("x")
    sk2.do(topics.join, "one", ["x"])
    one = counted(sk2, sk2.realm.format.claim, 500)
    sk2.do(topics.rotate, "t")
    many = counted(sk2, sk2.realm.format.claim, 500)
    assert sk2.count(Delivery.SENDING) == 501
    most = at_most(sk2, 20, 22)
    assert many <= one + 1 <= most
    sk2.do(topics.rotate, "t")
    assert counted(sk2, sk2.realm.format.claim, 500) <= most


def test_batch_in_which_all_must_wait_costs_no_more(crowd: World) -> None:
    for _ in range(7):  # then the seconds of these devices are used up
        crowd.do(topics.rotate, "t")
        crowd.claim()
        crowd.claim()
    crowd.do(topics.rotate, "t")
    assert counted(crowd, claim, 500) <= 20


def test_join_costs_the_same_for_one_device_and_five_hundred(crowd: World) -> None:
    for topic in ("t1", "t500", "t1000"):
        crowd.do(topics.create, topic)
    names = [f"d{i}" for i in range(1000)]
    one = counted(crowd, topics.join, "t1", names[:1])
    assert counted(crowd, topics.join, "t500", names[:500]) == one <= 30
    assert counted(crowd, topics.join, "t1000", names) <= one + 5
    crowd.do(topics.leave, "t500", names[:500], rekey=False)
    assert counted(crowd, topics.join, "t500", names[1:500]) <= one
    assert crowd.names(standing.evicted, "t500") == ["d0"]


@pytest.mark.parametrize("how", [{"rekey": False}, {"wait_s": 60}])
def test_eviction_that_waits_costs_the_same_for_one_member_and_five_hundred(crowd: World, how: Any) -> None:
    names = [f"d{i}" for i in range(1000)]

    def leave(of: list[str]) -> int:
        return counted(crowd, partial(topics.leave, **how), "t", of)

    crowd.do(topics.leave, "t", ["d998"], rekey=False)
    one = leave(["d999"])
    assert leave(names[:500]) == one <= 35
    assert len(crowd.do(standing.evicted, "t", limit=1000)) == 502


def test_removal_of_devices_with_a_topic_each_costs_little_more_for_thirty(world: World) -> None:
    many = [f"d{i}" for i in range(93)]
    for name in ("one", *many):
        world.add(name)
        world.topic(name, name)
    for how in ({"rekey": False}, {"wait_s": 60}, {}):
        one, *rest = (many.pop() for _ in range(31))
        few = counted(world, partial(clients.remove_all, **how), [one])
        assert counted(world, partial(clients.remove_all, **how), rest) <= few + 2


def test_new_c2_key_costs_the_same_for_one_client_and_for_a_thousand(pk: World) -> None:
    pk.add("a")
    one = counted(pk, c2keys.new, Reason.ROUTINE)
    pk.do(c2keys.finish, force=True)
    pk.do(topics.create, "t")
    pk.do(crowded, 1000)
    pk.do(clients.new_key, "a", Reason.COMPROMISED)
    assert counted(pk, c2keys.new, Reason.ROUTINE) == one
    assert pk.count(Delivery.PENDING) == 1000, "all but the one that is suspended"


def test_start_costs_the_same_whether_one_delivery_was_interrupted_or_a_thousand(crowd: World) -> None:
    crowd.do(topics.rotate, "t")
    crowd.claim(1)
    one = counted(crowd, delivery.begin)
    while crowd.count(Delivery.PENDING):
        crowd.claim()
    more = at_most(crowd, 0, 3)  # on servers as many of two portions
    assert one <= counted(crowd, delivery.begin) <= one + more <= 15
    assert crowd.count(Delivery.PENDING) == 1000


@pytest.mark.parametrize("attempts", [1, 2])
def test_what_the_broker_lost_is_written_down_by_a_handful_of_statements(crowd: World, attempts: int) -> None:
    crowd.do(topics.rotate, "t")
    for _ in range(attempts):
        lost = [*crowd.claim(), *crowd.claim()]
        again = [(each.id, each.attempt, crowd.clock.now + each.id) for each in lost]
        assert len(lost) == 1000
        assert counted(crowd, lambda db, realm, again=again: settling.settle(db, realm, [], again)) <= 15
        assert crowd.claim() == []
        crowd.clock.now = again[0][2]
        assert [each.id for each in crowd.claim()] == [lost[0].id]
        crowd.clock.now = again[-1][2]
        crowd.do(delivery.begin)


def test_keys_of_the_c2_are_read_once_for_many_reports(pk: World) -> None:
    batch = [Incoming(report_topic((device := pk.add(name)).id), device.client.hello()) for name in "abcd"]
    seen = statements(pk, receive_all, batch)
    assert sum("FROM c2_key" in each for each in seen) == 1
    assert pk.count(Delivery.PENDING) == 4
