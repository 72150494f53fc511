# SPDX-License-Identifier: Apache-2.0
"""Format 2: what one claim takes from the outbox, however much waits there, and that a claim that fails takes nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import topics
from e4c2.model import Delivery, command_sequence, membership, outbox
from e4c2.model import topic as topic_table
from e4c2.rows import Realm, find_pairs
from e4c2.sealing2 import DELIVERIES_MOST
from e4core.errors import E4Error
from tests.c2.world import World

pytestmark = pytest.mark.format(2)


def test_what_waits_longer_than_any_pause_was_ordered_under_a_wrong_clock(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    world.store.run(lambda db: db.execute(sa.update(outbox).values(not_before=world.clock.now + 1e6)) and None)
    assert len(world.claim()) == 1


def test_device_that_waits_keeps_nobody_else(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    later = sa.update(outbox).where(outbox.c.client == world.devices["a"].id).values(not_before=world.clock.now + 60)
    world.store.run(lambda db: db.execute(later) and None)
    assert [each.client for each in world.claim()] == [world.devices["b"].id]


def test_pairs_are_found_by_an_index(world: World) -> None:
    for name in "abc":
        world.add(name)
    world.topic("t", *"abc")
    seen: list[tuple[str, Any]] = []
    topic_id = world.store.run(lambda db: db.scalars(sa.select(topic_table.c.id)).one())

    def plans(db: sa.Connection, realm: Realm) -> list[str]:
        @sa.event.listens_for(db, "before_cursor_execute")
        def _see(_db: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
            seen.append((statement, values))

        pairs = [(topic_id, bytes(world.devices[name].id)) for name in "ab"]
        assert len(find_pairs(db, realm, (membership.c.topic, membership.c.client), pairs)) == 2
        ((statement, values), *_) = seen
        return [row.detail for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]

    assert not [step for step in world.do(plans) if "SCAN membership" in step]


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_portions_of_any_size_reach_all_devices(world: World, limit: int) -> None:
    names = [f"d{i}" for i in range(5)]
    for name in names:
        world.add(name)
    for topic in "tu":
        world.do(topics.create, topic)
        world.do(topics.join, topic, names)
    claimed = []
    while sealed := world.claim(limit):
        assert len(sealed) <= limit
        claimed += [each.client for each in sealed]
    assert sorted(claimed) == sorted(bytes(world.devices[name].id) for name in names)


def test_transaction_has_no_more_deliveries_than_is_good_for_the_database(world: World) -> None:
    names = "abcd"
    for name in names:
        world.add(name)
    row = {"kind": "topic", "purge": False, "state": "pending", "created": 0.0, "not_before": 0.0, "attempts": 0}
    each = DELIVERIES_MOST * 2 // 3
    rows = [{**row, "client": world.devices[n].id, "object": os.urandom(16)} for n in names for _ in range(each)]
    world.store.run(lambda db: db.execute(sa.insert(outbox), rows) and None)
    claims = 0
    while claimed := world.claim():
        assert len(claimed) == 1
        claims += 1
    assert claims == len(names)
    assert not world.count(Delivery.PENDING)


def test_device_for_which_there_is_too_much_gets_it_all_the_same(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    row = {"kind": "topic", "purge": False, "state": "pending", "created": 0.0, "not_before": 0.0, "attempts": 0}
    rows = [{**row, "client": world.devices["a"].id, "object": os.urandom(16)} for _ in range(DELIVERIES_MOST + 1)]
    world.store.run(lambda db: db.execute(sa.insert(outbox), rows) and None)
    world.do(topics.rotate, "t")
    world.settle_down()
    assert world.devices["a"].key("t") == world.topic_key("t")


def test_claim_that_fails_at_any_statement_takes_no_sequence(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    world.do(topics.rotate, "t")
    before = world.dump()
    done = 0
    while done < 100:
        with suppress(E4Error):
            try:
                world.do(_failing, done)
            except ZeroDivisionError:
                assert world.dump() == before
                done += 1
                continue
        break
    assert done > 5
    assert world.dump()[command_sequence.name] != before[command_sequence.name]


def _failing(db: sa.Connection, realm: Any, fail_at: int) -> None:
    count = 0

    def each(*_: object) -> None:
        nonlocal count
        count += 1
        if count > fail_at:
            raise ZeroDivisionError

    sa.event.listen(db, "before_cursor_execute", each)
    try:
        realm.format.claim(db, realm, 500)
    finally:
        sa.event.remove(db, "before_cursor_execute", each)
