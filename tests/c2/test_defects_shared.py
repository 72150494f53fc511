# SPDX-License-Identifier: Apache-2.0
"""What a key server must never do again, where several share a database at a server; begins in `tests.c2.test_defects`.

==========================  ============================================================================================
replicas                    two of them shut each other out of the broker, and each had a C2 key of its own
automation                  a rule that was due was run twice by two processes, or lost at a crash, or came back after it was
                            removed. Here there are no rules yet, but rotations that are planned and evictions that wait
==========================  ============================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, plans, replicas, standing, steering, topics
from e4c2.app import open_c2
from e4c2.model import Reason, c2_key
from e4c2.plans import Terms
from e4c2.replicas import Watch
from e4c2.rows import reveal
from e4core.plugins import load_suite
from e4core.suite import Suite
from e4kms import file as kek_file
from tests.c2.served import PATIENCE_S, settings_in
from tests.c2.shared import Replicas, database
from tests.c2.shared import replicas as replicas_fixture
from tests.c2.world import World
from tests.core.suites2 import GCM_SK
from tests.databases import DatabaseServer
from tests.servers import Mosquitto

__all__ = ["database", "several"]

several = replicas_fixture
pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
TURNS = 4
OLD_PRIVATE = sa.select(c2_key).where(c2_key.c.version == 1)


@pytest.fixture
def suite(request: pytest.FixtureRequest) -> Suite:
    return load_suite("pk") if "one_c2_key" in request.node.name else GCM_SK


def at_once(*work: Callable[[], object]) -> None:
    with ThreadPoolExecutor(len(work)) as threads:
        for each in [threads.submit(each) for each in work]:
            each.result(PATIENCE_S)


def both_tick(one: World, other: World, seconds: float = 1) -> None:
    """Each as it does every second, and at the same moment."""
    one.clock.now += seconds
    at_once(*(lambda each=each: each.do(steering.drive) for each in (one, other)))


def test_two_c2_are_at_one_broker_beside_each_other(
    database: DatabaseServer, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    kek_file.create(tmp_path / "kek.json")
    shared = {"database": database.make(), "broker": mosquitto.uri, "kms": [f"file://{tmp_path}/kek.json"]}

    async def story() -> list[int]:
        async with (
            asyncio.timeout(PATIENCE_S),
            open_c2(settings_in(tmp_path / "one", **shared)) as (one, _),
            open_c2(settings_in(tmp_path / "other", **shared)) as (other, _),
        ):
            links = [one.transport, other.transport]
            for number, each in enumerate(links):
                await each.subscribe(f"e4/{number}")
            for number, each in enumerate(reversed(links)):
                await each.publish(f"e4/{number}", b"still here", 1)
            heard = [(await anext(aiter(each))).payload for each in links]
            assert heard == [b"still here"] * 2
            assert one.realm.replica != other.realm.replica
            return [each.connections for each in links]

    assert asyncio.run(story()) == [1, 1]


def test_two_c2_have_one_c2_key_and_change_it_once(several: Replicas) -> None:
    one, other = several.add(), several.add()
    for name in "ab":
        one.add(name)
    one.topic("t", "a", "b")
    other.do(c2keys.new, Reason.ROUTINE)

    def private(world: World) -> bytes:
        return world.do(
            lambda db, realm: bytes(reveal(realm, c2_key, dict(db.execute(OLD_PRIVATE).mappings().one()), "private"))
        )

    assert private(one) == private(other)
    assert one.do(c2keys.all_versions) == other.do(c2keys.all_versions)
    one.settle_down()
    assert other.do(c2keys.finish).version == one.do(c2keys.active_version) == 2
    other.do(topics.rotate, "t")
    one.settle_down()
    assert one.devices["a"].key("t") == one.topic_key("t") == other.topic_key("t")


def test_what_is_due_is_done_once_by_two_c2_that_look_at_the_same_moment(several: Replicas) -> None:
    one, other = several.add(), several.add()
    for name in "abcd":
        one.add(name)
    one.topic("t", *"abcd")
    one.clock.now += 60
    one.do(plans.begin, "t", Terms())
    one.settle_down()
    for _ in range(TURNS):
        both_tick(one, other)
        one.settle_down()
    assert [(each.cause, each.members) for each in one.do(standing.history, "t")] == [("activation", 4)]
    assert other.do(plans.page, "t")[0].state == "done"
    for world, name in ((one, "c"), (other, "d")):
        world.do(topics.leave, "t", [name], wait_s=10)
    both_tick(one, other, 10)
    for _ in range(TURNS):
        both_tick(one, other)
        one.settle_down()
    causes = [each.cause for each in one.do(standing.history, "t")]
    assert causes == ["revocation", "activation"]
    assert one.devices["a"].key("t") == one.devices["b"].key("t") == one.topic_key("t")


def test_a_plan_outlives_the_c2_that_began_it_and_one_that_was_given_up_never_comes_back(several: Replicas) -> None:
    one, other = several.add(), several.add()
    for world in (one, other):
        world.do(replicas.beat, Watch(), b"")
    for name in "ab":
        one.add(name)
    for name in "tu":
        one.topic(name, "a", "b")
    one.clock.now += 60
    given_up = one.do(plans.begin, "u", Terms())
    one.do(plans.begin, "t", Terms())
    assert one.claim(), "and no more: it was killed"
    other.do(plans.abort, "u", given_up.id)
    watch = Watch(0)
    other.do(replicas.beat, watch, b"")
    other.settle_down()
    for _ in range(TURNS):
        both_tick(other, other)
        other.settle_down()
    assert [other.do(plans.page, name)[0].state for name in "tu"] == ["done", "aborted"]
    assert other.do(standing.history, "u") == []
