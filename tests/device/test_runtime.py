# SPDX-License-Identifier: Apache-2.0
"""A device at work: commands and acks, hellos, messages both ways."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace

import pytest

from e4core.client import Client
from e4core.command import RemoveTopic, encode
from e4core.errors import TooOld, UnknownKey
from e4core.keys import TopicHash
from e4core.message import GRACE_S
from e4core.plugins import load_suite
from e4core.report import Hello, Outcome
from e4core.state import TopicState
from e4device.runtime import Device
from tests.device.c2 import new_key, next_of
from tests.device.fleet import TOPIC, Fleet, Storage, next_payload, tell, until


@pytest.mark.parametrize("suite", ["sk", "pk"])
def test_devices_that_got_the_topic_key_read_each_other(suite: str) -> None:
    async def story(fleet: Fleet) -> None:
        alice, bob = fleet.c2.enrol("alice"), fleet.c2.enrol("bob")
        async with fleet.device(alice) as a, fleet.device(bob) as b:
            await fleet.give_key(TOPIC, new_key(), alice, bob)
            await a.subscribe(TOPIC)
            await b.subscribe("weather/+")
            await a.publish(TOPIC, b"rain")
            topic, message = await anext(b.messages())
            assert (topic, message.payload) == (TOPIC, b"rain")
            signed = not load_suite(suite).is_symmetric
            assert message.authenticated == signed
            assert message.sender == (alice.client_id if signed else None)
            assert await next_payload(a) == b"rain"
            await b.publish(TOPIC, b"snow")
            assert await next_payload(a) == b"snow"
            assert (a.counters.published, a.counters.received) == (1, 2)

    tell(story, suite)


@pytest.mark.parametrize("suite", ["sk", "pk"])
def test_an_ack_tells_what_was_done_and_what_the_device_now_holds(suite: str) -> None:
    async def story(fleet: Fleet) -> None:
        device, key = fleet.c2.enrol("device"), new_key()
        async with fleet.device(device) as running:
            ack = await fleet.command(device, fleet.c2.topic_key(TOPIC, key))
            assert (ack.outcome, ack.refusal) == (Outcome.APPLIED, "")
            assert ack.digest == device.digest({TOPIC: key}, {})
            assert running.counters.commands == {"applied": 1}

    tell(story, suite)


def test_the_state_is_saved_before_a_command_is_acknowledged() -> None:
    async def story(fleet: Fleet) -> None:
        device, storage = fleet.c2.enrol("device"), Storage()
        async with fleet.device(device, storage=storage):
            await fleet.command(device, fleet.c2.topic_key(TOPIC, new_key()))
            assert list(storage.saved[-1].topics) == [TopicHash(fleet.suite.derive_id(TOPIC))]

    tell(story)


def test_a_command_that_comes_again_is_acknowledged_as_already_done() -> None:
    async def story(fleet: Fleet) -> None:
        device = fleet.c2.enrol("device")
        data = device.seal(fleet.c2.topic_key(TOPIC, new_key()), time.time())
        async with fleet.device(device):
            outcomes = []
            for _ in range(2):
                await fleet.link.publish(device.control_topic, data, 2)
                outcomes.append((await fleet.ack_of(device, data)).outcome)
            assert outcomes == [Outcome.APPLIED, Outcome.ALREADY]

    tell(story)


def test_a_command_that_cannot_be_obeyed_is_acknowledged_as_refused_and_why() -> None:
    async def story(fleet: Fleet) -> None:
        device = fleet.c2.enrol("device")
        header = (int(time.time()) - 5).to_bytes(8, "little")
        command = encode(fleet.c2.topic_key(TOPIC, new_key())) + b"trailing"
        data = header + device.channel.command_key.seal(b"", command, header)
        async with fleet.device(device) as running:
            await fleet.link.publish(device.control_topic, data, 2)
            ack = await fleet.ack_of(device, data)
            assert (ack.outcome, ack.refusal) == (Outcome.REFUSED, "bad_command_length")
            assert running.counters.errors == {"bad_command_length": 1}

    tell(story)


def test_hello_is_repeated_until_a_sync_with_its_nonce_and_then_no_more() -> None:
    async def story(fleet: Fleet) -> None:
        device = fleet.c2.enrol("device")
        async with fleet.device(device) as running:
            first = await next_of(Hello, device, fleet.link)
            await fleet.command(device, RemoveTopic(TopicHash(os.urandom(16))))
            synchronised = [running.synchronised]
            second = await next_of(Hello, device, fleet.link)
            assert second.nonce == first.nonce
            await fleet.command(device, RemoveTopic(TopicHash(first.nonce)))
            synchronised.append(running.synchronised)
            assert synchronised == [False, True]
            said = running.counters.hellos
            # a third would be due within two seconds; that the task is gone shows without waiting for it
            await until(lambda: all("_say_hello" not in str(task.get_coro()) for task in asyncio.all_tasks()))
            assert running.counters.hellos == said == 2

    tell(story)


def test_hello_tells_what_the_device_holds() -> None:
    async def story(fleet: Fleet) -> None:
        device = fleet.c2.enrol("device")
        async with fleet.device(device):
            assert (await next_of(Hello, device, fleet.link)).digest == device.digest({}, {})

    tell(story)


def test_a_device_that_is_not_yet_due_has_not_said_hello_and_is_not_synchronised() -> None:
    async def story(fleet: Fleet) -> None:
        device = fleet.c2.enrol("device")
        async with fleet.device(device, hello_delay_s=3600) as running:
            await fleet.command(device, fleet.c2.topic_key(TOPIC, new_key()))
            assert running.counters.hellos == 0
            assert not running.synchronised

    tell(story)


def test_equal_payloads_wait_for_the_next_second_and_all_arrive() -> None:
    async def story(fleet: Fleet) -> None:
        alice, bob = fleet.c2.enrol("alice"), fleet.c2.enrol("bob")
        async with fleet.device(alice) as a, fleet.device(bob) as b:
            await fleet.give_key(TOPIC, new_key(), alice, bob)
            await b.subscribe(TOPIC)
            for _ in range(2):
                await a.publish(TOPIC, b"same")
            assert [await next_payload(b) for _ in range(2)] == [b"same"] * 2

    tell(story)


def test_after_a_clock_set_back_far_publishing_says_so_at_once() -> None:
    async def story(fleet: Fleet) -> None:
        alice, now = fleet.c2.enrol("alice"), time.time()
        client = Client(fleet.suite, alice.state, Storage().save)
        async with Device(client, fleet.broker.connect(), clock=lambda: now, hello_delay_s=0) as device:
            await fleet.give_key(TOPIC, new_key(), alice)
            await device.subscribe(alice.control_topic)
            await device.publish(TOPIC, b"x")
            now -= 3600
            with pytest.raises(TooOld, match="the clock was set back"):
                await device.publish(TOPIC, b"x")

    tell(story)


def test_a_previous_key_is_erased_when_its_grace_is_over_though_nothing_happens() -> None:
    async def story(fleet: Fleet) -> None:
        alice, storage = fleet.c2.enrol("alice"), Storage()
        over_soon = TopicState(new_key(), new_key(), int(time.time()) - GRACE_S + 1)
        state = replace(alice.state, topics={TopicHash(fleet.suite.derive_id(TOPIC)): over_soon})
        client = Client(fleet.suite, state, storage.save)
        async with Device(client, fleet.broker.connect(), hello_delay_s=3600):
            held = [keys.previous for keys in storage.saved[-1].topics.values()]
            await until(
                lambda: storage.saved[-1].topics == {topic: TopicState(over_soon.key) for topic in state.topics}
            )
        assert held == [over_soon.previous]

    tell(story)


def test_publishing_without_the_key_of_the_topic_says_so() -> None:
    async def story(fleet: Fleet) -> None:
        async with fleet.device(fleet.c2.enrol("device")) as device:
            with pytest.raises(UnknownKey):
                await device.publish(TOPIC, b"x")
            assert device.counters.published == 0

    tell(story)
