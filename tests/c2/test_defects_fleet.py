# SPDX-License-Identifier: Apache-2.0
"""What a key server must never do again to its devices and their keys; begins in `tests.c2.test_defects`.

==========================  ============================================================================================
long absence                of several commands to a device that is away the last was kept, and was too old after 10 minutes
a new device key            it was sent before it was stored, and the former one was forgotten
eviction                    who was evicted kept a key that all others went on with
cells                       who could write to the database could put the key of one row into another
==========================  ============================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from e4c2 import clients, topics
from e4c2.model import Reason, topic
from e4core.errors import StorageError, Tampered
from tests.c2.test_defects import REFUSE, is_reached
from tests.c2.world import World

HOUR = 3600


# Long absence


def test_devices_away_for_hours_catch_up_with_all_of_several_commands(fleet: World) -> None:
    for name in "ab":
        fleet.devices[name].away = True
    for name in "uv":
        fleet.do(topics.create, name)
        fleet.do(topics.join, name, ["a", "b"])
        fleet.settle_down()
    for name in "tut":
        fleet.do(topics.rotate, name)
        fleet.settle_down()
    fleet.do(topics.leave, "v", ["b"])
    fleet.settle_down()
    fleet.clock.now += 2 * HOUR
    for name in "ab":
        fleet.devices[name].away = False
    fleet.greet()
    fleet.settle_down()
    held = {"a": "tuv", "b": "tu"}
    for name, topics_held in held.items():
        assert fleet.digest_fits(name)
        for each in topics_held:
            assert fleet.devices[name].key(each) == fleet.topic_key(each)
    assert fleet.devices["b"].key("v") is None


# A new device key


@pytest.mark.parametrize("steps", range(5))
def test_a_failure_after_any_step_of_a_new_device_key_strands_nobody(fleet: World, steps: int) -> None:
    fleet.do(clients.new_key, "a", Reason.ROUTINE)
    work: list[Callable[[], object]] = [fleet.claim, fleet.crash, fleet.carry, fleet.obey]
    for step in work[:steps]:
        step()
    fleet.reports.clear()
    fleet.crash()
    fleet.devices["a"].inbox.clear()
    assert is_reached(fleet, "a", "b")
    fleet.clock.now += HOUR
    fleet.greet()
    fleet.settle_down()
    assert not fleet.do(clients.show, "a").key_change
    assert is_reached(fleet, "a", "b")
    assert fleet.digest_fits("a")


def test_a_new_device_key_that_the_database_refuses_is_not_sent(fleet: World) -> None:
    fleet.sql(REFUSE.format("UPDATE", "client"))
    with fleet.refuses(StorageError):
        fleet.do(clients.new_key, "a", Reason.ROUTINE)
    fleet.sql("DROP TRIGGER refuse")
    assert fleet.claim() == []
    assert is_reached(fleet, "a")


# Eviction


def make_anew(world: World) -> None:
    world.do(topics.remove, "t")
    world.do(topics.create, "t")
    world.do(topics.join, "t", ["b", "c"])


EVICTIONS: dict[str, Callable[[World], object]] = {
    "it leaves": lambda world: world.do(topics.leave, "t", ["a"]),
    "it is removed": lambda world: world.do(clients.remove, "a"),
    "its topic is removed": make_anew,
    "its key is compromised": lambda world: world.do(clients.new_key, "a", Reason.COMPROMISED),
}


@pytest.mark.parametrize("how", EVICTIONS)
def test_who_was_evicted_and_kept_its_keys_reads_nothing_new(world: World, how: str) -> None:
    for name in "abc":
        world.add(name)
    world.befriend("a", "b", "c")
    world.topic("t", "a", "b", "c")
    thief = world.devices["a"].thief()  # type: ignore[attr-defined]
    assert thief.read("t", world.devices["b"].write("t", world.clock.now, b"before"), world.clock.now) == b"before"
    EVICTIONS[how](world)
    world.settle_down()
    world.clock.now += 60
    message = world.devices["b"].write("t", world.clock.now, b"after")
    assert world.devices["c"].read("t", message, world.clock.now) == b"after"
    assert thief.read("t", message, world.clock.now) is None


# Cells


@pytest.mark.parametrize(("table", "to", "source"), [("topic", "t", "u"), ("client", "a", "b")])
def test_a_key_put_into_another_row_is_an_alarm(fleet: World, table: str, to: str, source: str) -> None:
    fleet.do(topics.create, "u")
    fleet.sql(
        f"UPDATE {table} SET key = (SELECT key FROM {table} WHERE name = :source) WHERE name = :to",
        to=to,
        source=source,
    )
    uses: dict[str, Callable[[], object]] = {
        "topic": lambda: fleet.do(topics.rotate, to),
        "client": lambda: fleet.do(clients.show, to),
    }
    with fleet.refuses(Tampered):
        uses[table]()


def test_equal_keys_do_not_look_equal_in_the_database(sk: World) -> None:
    key = os.urandom(32)
    for name in "ab":
        sk.do(clients.create, name, key, 0)
    sk.do(topics.create, "t")
    rows = sk.store.run(lambda db: db.execute(sa.text("SELECT key FROM client")).scalars().all())
    assert len(set(rows)) == 2
    assert not any(key in row for row in rows)
    assert sk.topic_key("t") not in sk.store.run(lambda db: db.scalars(sa.select(topic.c.key)).one())
