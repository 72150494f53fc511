# SPDX-License-Identifier: Apache-2.0
"""What a device at work must endure: replays, garbage, full disks, and its own end."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from e4core.client import Client
from e4core.command import RemoveTopic
from e4core.errors import TransportError
from e4core.keys import Secret, TopicHash
from e4core.plugins import load_transport
from e4core.report import Outcome
from e4device.runtime import Device
from tests.device.c2 import new_key
from tests.device.fleet import TOPIC, Fleet, Storage, next_payload, tell, until
from tests.servers import free_port
from tests.transports.stub import REFUSED, StubBroker


def test_a_message_that_comes_twice_is_given_once_and_counted() -> None:
    async def story(fleet: Fleet) -> None:
        alice, bob = fleet.c2.enrol("alice"), fleet.c2.enrol("bob")
        heard: list[bytes] = []
        async with fleet.device(alice) as a, fleet.device(bob) as b:
            await fleet.give_key(TOPIC, new_key(), alice, bob)
            await b.subscribe(TOPIC)
            fleet.broker.taps.append(lambda incoming: heard.append(incoming.payload))
            await a.publish(TOPIC, b"once")
            fleet.broker.publish(TOPIC, heard[0])
            await a.publish(TOPIC, b"and then")
            assert [await next_payload(b), await next_payload(b)] == [b"once", b"and then"]
            assert (b.counters.replayed, b.counters.errors) == (1, {})

    tell(story)


@pytest.mark.parametrize("suite", ["sk", "pk"])
def test_nothing_that_the_broker_delivers_stops_the_device(suite: str) -> None:
    async def story(fleet: Fleet) -> None:
        alice, bob = fleet.c2.enrol("alice"), fleet.c2.enrol("bob")
        async with fleet.device(alice) as a, fleet.device(bob) as b:
            await fleet.give_key(TOPIC, new_key(), alice, bob)
            await b.subscribe("#")
            for topic in (TOPIC, "unknown", "\u202e\n", "x" * 600, bob.control_topic, bob.report_topic):
                for length in (0, 7, 8, 24, 25, 40, 103, 104, 200, 70_000):
                    fleet.broker.publish(topic, os.urandom(length))
            await a.publish(TOPIC, b"still here")
            assert await next_payload(b) == b"still here"
            assert (await fleet.command(bob, fleet.c2.topic_key("more", new_key()))).outcome is Outcome.APPLIED
            assert sum(b.counters.errors.values()) == 50
            assert {"topic_key_missing", "bad_topic"} < set(b.counters.errors)

    tell(story, suite)


def test_no_secret_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def story(fleet: Fleet) -> None:
        device, key = fleet.c2.enrol("device"), new_key()
        async with fleet.device(device) as running:
            await fleet.command(device, fleet.c2.topic_key(TOPIC, key))
            await running.subscribe("#")
            fleet.broker.publish(TOPIC, b"x" * 100)
            fleet.broker.publish("unknown\n", b"")
            await until(lambda: sum(running.counters.errors.values()) == 2)
        for secret in (key, Secret(device.state.private)):
            assert bytes(secret).hex() not in caplog.text
            assert repr(bytes(secret)) not in caplog.text

    caplog.set_level("DEBUG")
    tell(story)
    assert "applied SetTopicKey" in caplog.text
    assert "'unknown\\n'" in caplog.text


def test_a_full_disk_refuses_commands_and_messages_and_the_device_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def story(fleet: Fleet) -> None:
        alice, bob, storage = fleet.c2.enrol("alice"), fleet.c2.enrol("bob"), Storage()
        async with fleet.device(alice) as a, fleet.device(bob, storage=storage) as b:
            await fleet.give_key(TOPIC, new_key(), alice, bob)
            await b.subscribe(TOPIC)
            storage.full = True
            await a.publish(TOPIC, b"lost")
            await fleet.link.publish(bob.control_topic, bob.seal(RemoveTopic(TopicHash(bytes(16))), time.time()), 2)
            await until(lambda: b.counters.errors["storage"] == 2)
            storage.full = False
            await a.publish(TOPIC, b"kept")
            assert await next_payload(b) == b"kept"

    tell(story)
    assert [record.levelname for record in caplog.records if "disk is full" in record.message] == ["ERROR"] * 2


def test_what_the_application_does_not_read_is_bounded_and_the_newest_stay() -> None:
    async def story(fleet: Fleet) -> None:
        alice, bob = fleet.c2.enrol("alice"), fleet.c2.enrol("bob")
        async with fleet.device(alice) as a, fleet.device(bob, backlog=3) as b:
            await fleet.give_key(TOPIC, new_key(), alice, bob)
            await b.subscribe(TOPIC)
            for number in range(5):
                await a.publish(TOPIC, b"%d" % number)
            await until(lambda: b.counters.received == 5)
            assert [await next_payload(b) for _ in range(3)] == [b"2", b"3", b"4"]
            assert b.counters.dropped == 2

    tell(story)


def test_a_cancelled_read_loses_no_message() -> None:
    async def story(fleet: Fleet) -> None:
        alice = fleet.c2.enrol("alice")
        async with fleet.device(alice) as a:
            await fleet.give_key(TOPIC, new_key(), alice)
            await a.subscribe(TOPIC)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(a.messages()), 0.01)
            await a.publish(TOPIC, b"x")
            assert await next_payload(a) == b"x"

    tell(story)


def test_closing_saves_the_replay_memory_and_ends_the_messages() -> None:
    async def story(fleet: Fleet) -> None:
        alice, storage = fleet.c2.enrol("alice"), Storage()
        async with fleet.device(alice, storage=storage) as a:
            await fleet.give_key(TOPIC, new_key(), alice)
            await a.subscribe(TOPIC)
            await a.publish(TOPIC, b"x")
            await next_payload(a)
            while_running = storage.saved[-1].clean
        assert (while_running, storage.saved[-1].clean) == (False, True)
        assert sum(len(tags) for seen in storage.saved[-1].seen for tags in seen.seconds.values()) == 1
        assert [received async for received in a.messages()] == []
        with pytest.raises(TransportError):
            await a.publish(TOPIC, b"y")
        saves = len(storage.saved)
        await a.close()
        assert len(storage.saved) == saves

    tell(story)


def test_what_was_accepted_before_a_clean_stop_is_refused_after_it() -> None:
    async def story(fleet: Fleet) -> None:
        alice, storage = fleet.c2.enrol("alice"), Storage()
        heard: list[bytes] = []
        fleet.broker.taps.append(lambda incoming: heard.append(incoming.payload) if incoming.topic == TOPIC else None)
        async with fleet.device(alice, storage=storage) as a:
            await fleet.give_key(TOPIC, new_key(), alice)
            await a.subscribe(TOPIC)
            await a.publish(TOPIC, b"x")
            await next_payload(a)
        client = Client(fleet.suite, storage.saved[-1], storage.save)
        async with Device(client, fleet.broker.connect(), hello_delay_s=0) as again:
            await again.subscribe(TOPIC)
            fleet.broker.publish(TOPIC, heard[0])
            await until(lambda: again.counters.replayed == 1)

    tell(story)


def test_another_connection_under_the_same_id_ends_the_messages_with_an_error() -> None:
    async def story(fleet: Fleet) -> None:
        alice = fleet.c2.enrol("alice")
        async with fleet.device(alice) as a, fleet.broker.connect(alice.client_id.hex()):
            with pytest.raises(TransportError, match="same id"):
                await anext(a.messages())

    tell(story)


def test_a_broker_that_is_not_there_is_a_typed_error_and_the_state_is_left_in_order() -> None:
    async def story(fleet: Fleet) -> None:
        alice, storage = fleet.c2.enrol("alice"), Storage()
        client = Client(fleet.suite, alice.state, storage.save)
        transport = load_transport(f"mqtt://127.0.0.1:{free_port()}?timeout=5", "")
        with pytest.raises(TransportError):
            async with Device(client, transport):
                pass
        assert storage.saved[-1].clean

    tell(story)


@pytest.mark.parametrize(
    ("verdict", "complaint"), [(None, "did not answer a subscription within 0.2 s"), (REFUSED, "refused 'e4/")]
)
def test_a_broker_that_does_not_let_it_listen_is_a_typed_error_and_nothing_hangs(
    verdict: int | None, complaint: str
) -> None:
    async def story(fleet: Fleet) -> None:
        alice, storage = fleet.c2.enrol("alice"), Storage()
        client = Client(fleet.suite, alice.state, storage.save)
        async with StubBroker(verdict) as broker:
            with pytest.raises(TransportError, match=complaint):
                async with Device(client, load_transport(broker.uri, "alice"), answer_within_s=0.2):
                    pass
        assert storage.saved[-1].clean

    tell(story)
