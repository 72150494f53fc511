# SPDX-License-Identifier: Apache-2.0
"""The courier over a broker in memory: what is lost is sent again, in order, and noise stops nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Self

import pytest
import sqlalchemy as sa

from e4c2 import clients, delivery, outages, topics
from e4c2.commands import BATCH
from e4c2.delivery import LONGEST_PAUSE_S, STALE_S, WINDOW, Courier
from e4c2.model import Delivery, outbox
from e4core.errors import StorageError, TransportError
from e4core.keys import control_topic, report_topic
from e4core.message import WINDOW_S
from e4core.transport import Incoming
from e4transports.memory import MemoryBroker, MemoryTransport
from tests.c2.devices import Witness
from tests.c2.test_scale import crowded
from tests.c2.world import World

PATIENCE_S = 10.0
_AGAIN = sa.select(outbox.c.not_before)


class Flaky:
    """A link to a broker in memory on which chosen publications fail, or land only when the test says so."""

    def __init__(self, broker: MemoryBroker, fails: Callable[[int], bool]) -> None:
        self._link: MemoryTransport = broker.connect("c2")
        self._fails = fails
        self.published = 0

    @property
    def max_qos(self) -> int:
        return 2

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def connections(self) -> int:
        return self._link.connections

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        return self

    async def __aexit__(self, *args: Any) -> None:
        await self._link.__aexit__(*args)

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        self.published += 1
        if self._fails(self.published):
            raise TransportError("lost on the way")
        await self._link.publish(topic, payload, qos)

    async def subscribe(self, topic: str, /) -> None:
        await self._link.subscribe(topic)

    async def unsubscribe(self, topic: str, /) -> None:
        await self._link.unsubscribe(topic)

    def __aiter__(self) -> AsyncIterator[Incoming]:
        return aiter(self._link)


class Slow(Flaky):
    """What waits there leaves when it is let go, unless it was cancelled before."""

    def __init__(self, broker: MemoryBroker, waits: Callable[[int], bool] = lambda _: True) -> None:
        super().__init__(broker, lambda _: False)
        self._waits = waits
        self.go = asyncio.Event()
        self.is_up = True

    @property
    def connected(self) -> bool:
        return self.is_up

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        self.published += 1
        if self._waits(self.published):
            await self.go.wait()
        await self._link.publish(topic, payload, qos)


async def device(world: World, broker: MemoryBroker, name: str) -> None:
    mine = world.devices[name]
    async with broker.connect(name) as link:
        await link.subscribe(control_topic(mine.id))
        async for incoming in link:
            for report in mine.take(incoming.payload, world.clock.now):
                await link.publish(report_topic(mine.id), report, 2)


def with_courier(world: World, fails: Callable[[int], bool], done: Callable[[], bool], *names: str) -> Courier:
    """Run the courier and these devices until ``done``, or for some seconds."""

    async def run() -> Courier:
        broker = MemoryBroker()
        async with Flaky(broker, fails) as link:
            courier = Courier(world.store, world.realm, link)
            tasks = [asyncio.create_task(device(world, broker, name)) for name in names]
            await asyncio.sleep(0.05)
            tasks.append(asyncio.create_task(courier.run()))
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline and not await asyncio.to_thread(done):
                await asyncio.sleep(0.05)
                world.clock.now += 0.2
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return courier

    return asyncio.run(run())


@asynccontextmanager
async def working(courier: Courier) -> AsyncIterator[None]:
    task = asyncio.create_task(courier.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def true(of: Callable[[], bool]) -> None:
    """It becomes so."""
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(of):  # noqa: ASYNC110  it is elsewhere
            await asyncio.sleep(0.02)


def test_courier_carries_commands_out_and_reports_in(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.do(topics.create, "t")
    operation = world.do(topics.join, "t", ["a", "b"])
    with_courier(world, lambda _: False, lambda: world.counts(operation) == {"confirmed": 2}, "a", "b")
    assert world.counts(operation) == {"confirmed": 2}
    assert all(world.digest_fits(name) for name in "ab")


def test_courier_sends_again_what_was_lost(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.do(topics.create, "t")
    operation = world.do(topics.join, "t", ["a", "b"])
    with_courier(world, lambda n: n in (1, 2, 4), lambda: world.counts(operation) == {"confirmed": 2}, "a", "b")
    assert world.counts(operation) == {"confirmed": 2}


def test_what_the_broker_keeps_refusing_is_tried_less_and_less_often(
    sk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("POLL_S", "SETTLE_EVERY_S"):
        monkeypatch.setattr(delivery, pause, 0.01)
    sk.add("a")
    sk.do(topics.create, "t")
    sk.do(topics.join, "t", ["a"])
    begun = sk.clock.now
    tries: list[float] = []

    def refused(_: int) -> bool:
        tries.append(sk.clock.now - begun)
        return True

    def long_enough() -> bool:
        sk.clock.now += 1
        return sk.clock.now > begun + 35

    with_courier(sk, refused, long_enough, "a")
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert 3 <= len(pauses) <= 7
    assert all(pause >= 2.0**attempt / 2 for attempt, pause in enumerate(pauses, 1))


def test_what_is_lost_at_the_same_instant_is_not_tried_again_at_the_same(sk: World) -> None:
    """Else a broker that comes back is met by a whole fleet at once, again and again."""
    names = [f"d{i}" for i in range(20)]
    for name in names:
        sk.add(name)
    sk.do(topics.create, "t")
    sk.do(topics.join, "t", names)
    lost_at = sk.clock.now

    async def story() -> None:
        async with Flaky(MemoryBroker(), lambda _: True) as link, working(Courier(sk.store, sk.realm, link)):
            await true(lambda: link.published == sk.count(Delivery.PENDING) == len(names))

    asyncio.run(story())
    pauses = [again - lost_at for (again,) in sk.store.run(lambda db: db.execute(_AGAIN).all())]
    assert all(1 <= pause <= 2 for pause in pauses)
    assert len(set(pauses)) > len(names) / 2
    assert max(pauses) - min(pauses) > 0.25


def test_no_more_are_on_their_way_than_the_window_is_wide(sk: World) -> None:
    """Though more wait, and the broker has acknowledged none; then it has them all."""
    total = WINDOW + BATCH + 1
    sk.do(topics.create, "t")
    sk.do(crowded, total)
    sk.do(topics.rotate, "t")

    async def story() -> None:
        async with Slow(MemoryBroker()) as link, working(courier := Courier(sk.store, sk.realm, link)):
            await true(lambda: link.published >= WINDOW)
            for _ in range(20):
                courier.wake()
                await asyncio.sleep(0.02)
            assert (link.published, sk.count(Delivery.SENDING)) == (WINDOW, WINDOW)
            link.go.set()
            await true(lambda: sk.count(Delivery.SENT) == total)

    asyncio.run(story())


def test_what_was_refused_a_thousand_times_is_still_tried_again(sk: World) -> None:
    sk.add("a")
    sk.do(topics.create, "t")
    operation = sk.do(topics.join, "t", ["a"])
    sk.sql("UPDATE outbox SET attempts = 5000")

    def done() -> bool:
        sk.clock.now += LONGEST_PAUSE_S / 10
        return sk.counts(operation) == {"confirmed": 1}

    with_courier(sk, lambda published: published == 1, done, "a")
    assert sk.counts(operation) == {"confirmed": 1}


def test_courier_begins_with_what_a_crash_left_behind(world: World) -> None:
    world.add("a")
    world.do(topics.create, "t")
    operation = world.do(topics.join, "t", ["a"])
    world.claim()
    with_courier(world, lambda _: False, lambda: world.counts(operation) == {"confirmed": 1}, "a")
    assert world.counts(operation) == {"confirmed": 1}


def test_courier_does_not_let_a_lost_reset_overtake(world: World) -> None:
    w = world.add("w", Witness)
    world.topic("t", "w")
    world.do(clients.reset, "w")
    with_courier(world, lambda n: n == 1, lambda: not world.count(Delivery.PENDING, Delivery.SENDING), "w")
    assert w.key("t") == world.topic_key("t")


def test_bad_reports_are_counted_and_the_courier_goes_on(world: World) -> None:
    a = world.add("a")
    world.do(topics.create, "t")

    def noise(broker: MemoryBroker) -> None:
        for payload in (b"", b"\xff" * 6, b"x" * 10_000):
            broker.publish(report_topic(a.id), payload)

    async def run() -> Courier:
        broker = MemoryBroker()
        async with broker.connect("c2") as link:
            courier = Courier(world.store, world.realm, link)
            task = asyncio.create_task(courier.run())
            await asyncio.sleep(0.2)
            noise(broker)
            deadline = time.monotonic() + PATIENCE_S
            while sum(courier.refused.values()) < 3 and time.monotonic() < deadline:  # noqa: ASYNC110  counted elsewhere
                await asyncio.sleep(0.02)
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return courier

    assert sum(asyncio.run(run()).refused.values()) == 3


@pytest.mark.format(1)
def test_command_that_lay_too_long_is_sealed_anew(world: World) -> None:
    """Such a one, that the broker took late, may be too old when it arrives."""
    world.add("w", Witness)
    world.do(topics.create, "t")
    world.do(topics.join, "t", ["w"])

    def took_long(published: int) -> bool:
        world.clock.now += STALE_S + 1 if published == 1 else 0
        return False

    with_courier(world, took_long, lambda: world.states("w") == [("w", "topic", "sent")], "w")
    assert [each.attempts for each in world.deliveries("w")] == [2]
    assert STALE_S < WINDOW_S, "else a device could refuse it as too old"


def test_a_claim_whose_commit_was_not_answered_strands_nothing(sk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.02)
    for name in "ab":
        sk.add(name)
    sk.do(topics.create, "t")
    operation = sk.do(topics.join, "t", ["a", "b"])
    write, unheard = sk.store.write, list[object]()

    async def losing(use_case: Any, *args: Any) -> Any:
        answer = await write(use_case, *args)
        if use_case is sk.realm.format.claim and answer and not unheard:
            unheard.append(answer)
            raise StorageError("the connection was lost before the answer to COMMIT")
        return answer

    monkeypatch.setattr(sk.store, "write", losing)
    with_courier(sk, lambda _: False, lambda: sk.counts(operation) == {"confirmed": 2}, "a", "b")
    assert sk.counts(operation) == {"confirmed": 2}
    assert unheard


def seem_dead(courier: Courier) -> None:
    """Which nobody has noticed yet."""
    courier.alive_until = time.monotonic()


@pytest.mark.parametrize("lapse", [Courier.give_up, seem_dead])
def test_what_others_may_have_taken_over_before_the_claim_was_answered_does_not_leave(
    sk: World, lapse: Callable[[Courier], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("POLL_S", "SETTLE_EVERY_S"):
        monkeypatch.setattr(delivery, pause, 0.02)
    for name in "ab":
        sk.add(name)
    sk.do(topics.create, "t")
    sk.do(topics.join, "t", ["a", "b"])
    write, claimed, go_on = sk.store.write, asyncio.Event(), asyncio.Event()
    broker, left = MemoryBroker(), list[Incoming]()
    broker.taps.append(left.append)

    async def late(use_case: Any, *args: Any) -> Any:
        answer = await write(use_case, *args)
        if use_case is sk.realm.format.claim and answer:
            claimed.set()
            await go_on.wait()
        return answer

    async def story() -> None:
        async with Flaky(broker, lambda _: False) as link, working(courier := Courier(sk.store, sk.realm, link)):
            await true(claimed.is_set)
            lapse(courier)
            go_on.set()
            await true(lambda: courier.published["ended"] == 2)
            sk.clock.now += 1
            courier.alive_until = math.inf
            await true(lambda: sk.count(Delivery.SENT) == 2)

    monkeypatch.setattr(sk.store, "write", late)
    asyncio.run(story())
    assert len(left) == 2
    assert [each.attempts for each in sk.deliveries()] == [2, 2]


def test_what_the_broker_has_is_not_given_back_at_a_stop(sk: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SETTLE_EVERY_S", 60)
    monkeypatch.setattr(delivery, "DRAIN_S", 0.1)
    for name in "abc":
        sk.add(name)
    sk.do(topics.create, "t")
    sk.do(topics.join, "t", ["a", "b", "c"])

    async def story() -> None:
        async with Slow(MemoryBroker(), lambda published: published == 2) as link:
            courier = Courier(sk.store, sk.realm, link)
            running = asyncio.create_task(courier.run())
            async with asyncio.timeout(PATIENCE_S):
                while courier.published["acknowledged"] < 2:  # noqa: ASYNC110  counted elsewhere
                    await asyncio.sleep(0.01)
            await courier.drain()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
    assert (sk.count(Delivery.SENT), sk.count(Delivery.PENDING)) == (2, 1)
