# SPDX-License-Identifier: Apache-2.0
"""What goes on for long: nothing is tried too often, kept waiting, forgotten too early or kept for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, clients, delivery, ledger, tokens, topics
from e4c2.commands import WAITS_AT_MOST_S
from e4c2.delivery import Courier
from e4c2.enrolment import tokens as enrolments
from e4c2.model import Reason, metadata
from e4c2.retention import KEPT_S, OVERTAKEN_KEPT_S
from e4core import report
from e4core.command import ResetTopics
from e4core.errors import Tampered
from e4core.keys import ClientId, report_topic
from e4core.transport import Incoming
from e4transports.memory import MemoryBroker
from tests.c2.devices import Ours, Witness
from tests.c2.world import World

PATIENCE_S = 10.0
STEP_S = 15
LATER_S = KEPT_S + 86400.0


# ------------------------------------------------------------------------------------------------- off the record


def test_what_is_done_leaves_the_record(world: World) -> None:
    world.add("a")
    world.add("w", Witness)
    world.topic("t", "a", "w")
    world.clock.now += LATER_S
    world.do(delivery.tidy)
    assert world.deliveries() == []


def test_key_change_that_was_not_confirmed_stays_on_record(world: World) -> None:
    """Else a device that was away for longer would be reached under two keys for ever."""
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    world.do(clients.new_key, "a", Reason.ROUTINE)
    if not world.suite.is_symmetric:
        world.do(c2keys.new, Reason.ROUTINE)
    world.settle_down()
    world.clock.now += LATER_S
    world.do(delivery.tidy)
    a.away = False
    world.greet("a")
    world.settle_down()
    world.clock.now += 60
    world.settle_down()
    assert not world.do(clients.show, "a").key_change
    assert world.do(clients.show, "a").c2_key == world.do(c2keys.newest)
    assert world.states("a") == []


def test_eviction_that_was_not_confirmed_stays_on_record(sk: World) -> None:
    a, b = sk.add("a"), sk.add("b")
    sk.topic("t", "a", "b")
    sk.greet("b")
    sk.settle_down()
    thief = a.thief()
    b.away = True
    sk.do(topics.leave, "t", ["a"])
    sk.settle_down()
    sk.clock.now += LATER_S
    sk.do(delivery.tidy)
    b.away = False
    sk.do(topics.rotate, "t")
    sk.carry()
    sk.clock.now += 1
    sk.obey()
    assert b.read("t", thief.write("t", sk.clock.now), sk.clock.now) is None


def test_one_delivery_of_an_object_is_kept_for_a_device_that_never_comes_back(sk: World) -> None:
    a = sk.add("a")
    sk.topic("t", "a")
    a.away = True
    for _ in range(5):
        sk.do(topics.rotate, "t")
        sk.settle_down()
    sk.clock.now += LATER_S
    sk.do(delivery.tidy)
    assert len(sk.deliveries("a")) == 1


@pytest.mark.parametrize("is_start", [True, False])
def test_tokens_that_expired_long_ago_are_looked_for(
    sk: World, monkeypatch: pytest.MonkeyPatch, is_start: bool
) -> None:
    def expired() -> None:
        sk.do(tokens.create, "short", 60.0)
        sk.clock.now += LATER_S

    if is_start:
        expired()
    else:
        monkeypatch.setattr(delivery, "LOOK_AFTER_EVERY_S", 0.05)

    async def story(_courier: Courier, _broker: MemoryBroker) -> None:
        if not is_start:
            await asyncio.to_thread(expired)
        await until(lambda: sk.names(tokens.page) == [])

    beside_courier(sk, story)


def test_token_that_was_tampered_with_does_not_keep_the_c2_from_starting(sk: World) -> None:
    sk.do(tokens.create, "short", 60.0)
    sk.clock.now += LATER_S
    sk.sql("UPDATE token SET name = 'admin'")
    sk.do(delivery.begin)
    assert sk.names(tokens.page) == ["admin"]


def test_token_that_was_tampered_with_keeps_no_enrolment_token_on_record(sk: World) -> None:
    sk.do(tokens.create, "short", 60.0)
    sk.do(enrolments.create, "line 1", "plant/*", [], 2, 60.0)
    sk.clock.now += LATER_S
    sk.sql("UPDATE token SET name = 'admin'")
    sk.do(delivery.tidy)
    assert sk.names(tokens.page) == ["admin"]
    assert sk.names(enrolments.page) == []


def test_what_cannot_leave_the_ledger_stays_on_record(sk: World) -> None:
    """Else the database would not be right any more when the ledger is mended."""
    sk.do(tokens.create, "short", 60.0)
    sk.clock.now += LATER_S
    ((_, right),) = sk.dump()["ledger"]
    sk.sql("UPDATE ledger SET sum = x'00'")
    sk.do(delivery.tidy)
    sk.sql("UPDATE ledger SET sum = :right", right=right)
    sk.store.run(ledger.verify, sk.realm.keyring)
    assert sk.names(tokens.page) == ["short"]
    sk.do(delivery.tidy)
    assert sk.names(tokens.page) == []


# ------------------------------------------------------------------------------------------------------ in pauses


def test_delivery_that_waits_for_a_time_that_a_wrong_clock_told_is_due(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    true = world.clock.now
    world.clock.now += 7 * 86400
    for _ in range(10):
        world.do(clients.reset, "a")
        world.settle(world.claim())  # until its seconds are used up, and it waits
    assert world.claim() == []
    world.clock.now = true + 10
    world.settle_down()
    assert world.digest_fits("a")
    assert a.handled
    assert world.clock.now < true + 60


def bewildered(world: World) -> Ours:
    """A device that reports to hold what it should not, whatever it is sent."""
    a = world.add("a")
    world.topic("t", "a")
    world.clock.now += WAITS_AT_MOST_S
    a.client._digest = lambda: bytes(16)
    world.greet("a")
    assert isinstance(a, Ours)
    return a


def catch_ups(world: World) -> list[float]:
    return [each.created for each in world.deliveries("a") if each.kind == "reset_topics"]


def go_on(world: World, seconds: int) -> None:
    for _ in range(0, seconds, STEP_S):
        world.carry()
        world.obey()
        world.receive()
        world.clock.now += STEP_S


def until_it_waits_long(world: World) -> None:
    go_on(world, 1200)
    before = catch_ups(world)
    while catch_ups(world) == before:
        go_on(world, STEP_S)
    assert world.claim() == []


def test_device_that_catching_up_does_not_help_is_caught_up_less_and_less_often(
    sk: World, caplog: pytest.LogCaptureFixture
) -> None:
    bewildered(sk)
    go_on(sk, 4 * WAITS_AT_MOST_S)
    sent = [each.now for each in sk.wire if (each.second, ResetTopics()) in sk.sent_to("a")]
    pauses = [later - earlier for earlier, later in pairwise(sent)]
    assert 30 <= pauses[0] <= 60 + STEP_S
    assert all(pauses[i + 1] >= min(1.5 * pauses[i], WAITS_AT_MOST_S) for i in range(len(pauses) - 1))
    assert sk.clock.now - sent[-1] <= WAITS_AT_MOST_S + STEP_S
    assert "in vain" in caplog.text


def test_device_that_holds_what_it_should_is_soon_caught_up_again(sk: World) -> None:
    a = bewildered(sk)
    go_on(sk, 1200)
    del a.client._digest
    go_on(sk, WAITS_AT_MOST_S)
    assert sk.states("a") == []
    a.client._digest = lambda: bytes(16)
    sk.greet("a")
    go_on(sk, 90)
    assert [each for each in catch_ups(sk) if each >= sk.clock.now - 45]


def test_change_does_not_wait_for_what_was_in_vain(sk: World) -> None:
    """An eviction above all."""
    a = bewildered(sk)
    until_it_waits_long(sk)
    sk.do(topics.rotate, "t")
    go_on(sk, 2 * STEP_S)
    (held,) = a.client.state.topics.values()
    assert held.key == sk.topic_key("t")


def test_hello_of_long_ago_ends_no_pause(sk: World) -> None:
    bewildered(sk)
    until_it_waits_long(sk)
    before = len(sk.wire)
    sk.greet("a")
    go_on(sk, 60)
    assert len(sk.wire) == before


# ----------------------------------------------------------------------------------------------------- the courier


def beside_courier(world: World, story: Callable[[Courier, MemoryBroker], object]) -> None:
    async def run() -> None:
        broker = MemoryBroker()
        async with broker.connect("c2") as link:
            courier = Courier(world.store, world.realm, link)
            task = asyncio.create_task(courier.run())
            await asyncio.sleep(0.1)
            await story(courier, broker)  # type: ignore[misc]
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


@pytest.fixture
def renewed(sk: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Of the deliveries of a device all but the last are to leave the record."""
    monkeypatch.setattr(delivery, "LOOK_AFTER_EVERY_S", 0.05)
    sk.add("a")
    sk.topic("t", "a")
    for _ in range(3):
        sk.do(topics.rotate, "t")
        sk.settle_down()
    sk.clock.now += OVERTAKEN_KEPT_S + 60
    return sk


def test_what_was_done_anew_leaves_the_record_while_the_c2_serves(renewed: World) -> None:
    (*_, last) = renewed.deliveries()

    async def story(_: Courier, __: MemoryBroker) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while [each.id for each in await asyncio.to_thread(renewed.deliveries)] != [last.id]:  # noqa: ASYNC110  told by nobody
                await asyncio.sleep(0.05)

    beside_courier(renewed, story)


def test_what_cannot_leave_the_record_is_told_once_and_ends_nothing(
    renewed: World, caplog: pytest.LogCaptureFixture
) -> None:
    renewed.sql("UPDATE outbox SET operation = CAST(x'ff' AS TEXT)")

    async def story(_: Courier, __: MemoryBroker) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while "tidying of the database wait" not in caplog.text:  # noqa: ASYNC110  told by nobody
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)  # some more tries

    beside_courier(renewed, story)
    assert caplog.text.count("tidying of the database") == 1


@pytest.mark.parametrize("change", ["UPDATE dek SET state = 'decrypt_only'", "UPDATE topic SET mac = zeroblob(36)"])
def test_what_was_forged_while_the_c2_serves_is_found_in_time(
    sk: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(delivery, "LOOK_AFTER_EVERY_S", 0.05)
    sk.do(topics.create, "t")

    async def run() -> None:
        async with MemoryBroker().connect("c2") as link:
            courier = asyncio.create_task(Courier(sk.store, sk.realm, link).run())
            await asyncio.sleep(0.2)
            assert not courier.done()
            await asyncio.to_thread(sk.sql, change)
            await asyncio.wait((courier,), timeout=PATIENCE_S)
            with pytest.raises(ExceptionGroup) as caught:
                courier.result()
            assert caught.group_contains(Tampered)

    asyncio.run(run())


def test_a_database_that_was_put_back_as_a_whole_while_the_c2_serves_is_found_in_time(
    sk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "LOOK_AFTER_EVERY_S", 0.05)
    sk.do(topics.create, "t")
    before = sk.dump()
    sk.do(topics.rotate, "t")

    def put_back(db: sa.Connection) -> None:
        for table in reversed(metadata.sorted_tables):
            db.execute(sa.delete(table))
        for table in metadata.sorted_tables:
            if rows := before[table.name]:
                db.execute(sa.insert(table), [dict(zip(table.c.keys(), row, strict=True)) for row in rows])

    async def run() -> None:
        async with MemoryBroker().connect("c2") as link:
            courier = asyncio.create_task(Courier(sk.store, sk.realm, link).run())
            await asyncio.sleep(0.2)
            assert not courier.done()
            await sk.store.write(put_back)
            await asyncio.wait((courier,), timeout=PATIENCE_S)
            with pytest.raises(ExceptionGroup) as caught:
                courier.result()
            assert caught.group_contains(Tampered, match="older state")

    asyncio.run(run())


@pytest.mark.parametrize("table", ["c2_key", "recovery"])
def test_what_every_command_rests_on_ends_the_c2_if_it_was_forged(pk: World, table: str) -> None:
    pk.add("a")
    pk.topic("t", "a")
    pk.do(topics.rotate, "t")
    pk.sql(f"UPDATE {table} SET mac = zeroblob(36)")
    broker, sent = MemoryBroker(), list[Incoming]()
    broker.taps.append(sent.append)

    async def run() -> None:
        async with broker.connect("c2") as link:
            courier = asyncio.create_task(Courier(pk.store, pk.realm, link).run())
            await asyncio.wait((courier,), timeout=PATIENCE_S)
            with pytest.raises(ExceptionGroup) as caught:
                courier.result()
            assert caught.group_contains(Tampered)

    asyncio.run(run())
    assert sent == []


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.02)


def reports_while_the_writer_is_busy(world: World, topic: str, payload: bytes, number: int) -> tuple[int, int]:
    """How many of so many reports wait in the end, and when another who writes had its turn."""
    waiting: list[int] = []

    async def story(courier: Courier, broker: MemoryBroker) -> None:
        go_on = threading.Event()
        busy = asyncio.create_task(world.store.write(lambda _: go_on.wait(PATIENCE_S)))
        for _ in range(number):
            broker.publish(topic, payload)
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        waiting.append(len(courier._reports))
        other = asyncio.create_task(world.store.write(lambda _: waiting.append(len(courier._reports))))
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(busy, other)
        await until(lambda: sum(courier.refused.values()) == number)

    beside_courier(world, story)
    return waiting[0], waiting[1]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (report_topic(ClientId(bytes(16))), bytes(report.LONGEST + 1)),
        (f"e4/{'0' * 60_000}/report", b""),
    ],
)
def test_what_is_too_long_for_a_report_takes_up_no_memory(sk: World, topic: str, payload: bytes) -> None:
    assert reports_while_the_writer_is_busy(sk, topic, payload, 30) == (0, 0)


def test_many_reports_do_not_keep_others_who_write_waiting(sk: World) -> None:
    number = 500
    forged = b"\2\2" + bytes(report.LONGEST - 2)
    waiting, still_waiting = reports_while_the_writer_is_busy(sk, report_topic(sk.add("a").id), forged, number)
    assert waiting >= 400
    assert still_waiting >= waiting - 100
