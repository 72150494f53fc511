# SPDX-License-Identifier: Apache-2.0
"""Events of several C2 on one PostgreSQL or MariaDB: one order for all readers, and each webhook is told by one of them."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from e4c2 import replicas, steering, topics
from e4c2.events import Kind, log, tell, webhooks
from e4c2.events.dispatch import GIVE_UP_S, Dispatcher
from e4c2.replicas import Watch
from e4core.suite import Suite
from tests.c2.receiver import is_signed, receiving
from tests.c2.served import PATIENCE_S
from tests.c2.shared import Replicas, database
from tests.c2.shared import replicas as replicas_fixture
from tests.c2.world import World
from tests.core.suites2 import GCM_SK

__all__ = ["database", "several"]

several = replicas_fixture
EACH = 15
"""Changes of one replica."""


@pytest.fixture
def suite() -> Suite:
    return GCM_SK


def two(several: Replicas) -> tuple[World, World]:
    """Both at work."""
    one, other = several.add(), several.add()
    for each in (one, other):
        each.do(replicas.beat, Watch(), b"")
    return one, other


def test_who_follows_the_log_misses_nothing_that_two_replicas_tell_at_once(several: Replicas) -> None:
    one, other = two(several)
    seen, cursor = list[tuple[int, str | None]](), one.store.run(log.newest)

    def change(world: World, mark: str) -> None:
        for number in range(EACH):
            world.do(topics.create, f"{mark}{number:02}")

    async def read(until: int) -> None:
        nonlocal cursor
        while len(seen) < until:
            span = await other.store.read(log.page, other.realm, cursor, 4)
            seen.extend((each.id, each.topic) for each in span.events)
            cursor = span.upto

    with ThreadPoolExecutor(2) as threads:
        changing = [threads.submit(change, world, mark) for world, mark in ((one, "a"), (other, "b"))]
        asyncio.run(asyncio.wait_for(read(2 * EACH), PATIENCE_S))
        for each in changing:
            each.result(PATIENCE_S)
    assert [number for number, _ in seen] == sorted({number for number, _ in seen})
    for mark in "ab":
        assert [name for _, name in seen if name and name[0] == mark] == [f"{mark}{n:02}" for n in range(EACH)]


def test_the_end_of_an_operation_is_told_by_one_of_two_replicas_that_look(several: Replicas) -> None:
    one, other = two(several)
    one.add("away")
    one.topic("waits", "away")
    waits = one.do(topics.rotate, "waits")
    one.do(topics.create, "over")
    over = one.do(topics.rotate, "over")
    for each in (one, other):
        each.clock.now += 60
    with ThreadPoolExecutor(2) as threads:
        for looking in [threads.submit(each.do, steering.drive) for each in (one, other)]:
            looking.result(PATIENCE_S)
    told = one.do(log.page, None, 1000, [Kind.OPERATION_CONFIRMED]).events
    ended = [each.data["operation"] for each in told]
    assert len(ended) == len(set(ended)) and over.id in ended and waits.id not in ended


def test_a_webhook_is_told_each_event_once_and_in_order_by_two_replicas(several: Replicas) -> None:
    worlds = two(several)
    with receiving() as receiver:
        made, secret = worlds[0].do(webhooks.create, "hook", receiver.url, ())
        for number in range(EACH):
            worlds[number % 2].do(tell, Kind.KMS_LOST if number % 2 else Kind.KMS_BACK)
        last = worlds[0].store.run(log.newest)

        async def work() -> None:
            tasks = [asyncio.create_task(Dispatcher(each.store, each.realm, GIVE_UP_S * 2).run()) for each in worlds]
            async with asyncio.timeout(PATIENCE_S):
                while (await worlds[0].store.read(webhooks.show, worlds[0].realm, made.id)).cursor < last:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

        asyncio.run(work())
    assert receiver.numbers == sorted(set(receiver.numbers))
    assert len(receiver.numbers) == EACH
    assert all(is_signed(bytes(secret).decode(), headers, body) for headers, body in receiver.got)


def test_who_stops_waiting_for_a_transaction_does_not_end_it(
    several: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    (world, _) = two(several)

    async def leave() -> None:
        writing = asyncio.create_task(world.store.write(tell, world.realm, Kind.KMS_LOST))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    before = world.store.run(log.newest)
    asyncio.run(leave())
    assert [each.kind for each in world.do(log.page, before, 10).events] == ["kms.lost"]
    gc.collect()
    assert "never retrieved" not in caplog.text
