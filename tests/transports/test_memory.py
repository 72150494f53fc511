# SPDX-License-Identifier: Apache-2.0
"""What the broker in memory can do beyond a real one."""

from __future__ import annotations

import asyncio

import pytest

from e4core.errors import InvalidInput, TransportError
from e4core.transport import Incoming
from e4transports.memory import MemoryBroker, named, open_transport
from tests.transports.conftest import receive


def test_uris_of_one_name_share_a_broker_and_others_do_not() -> None:
    async def story() -> None:
        async with (
            open_transport("memory:test-shared", "") as one,
            open_transport("memory:test-shared", "") as same,
            open_transport("memory:test-other", "") as other,
        ):
            await same.subscribe("t")
            await other.subscribe("t")
            await one.publish("t", b"here")
            await other.publish("t", b"there")
            assert await receive(same, 1) == [Incoming("t", b"here")]
            assert await receive(other, 1) == [Incoming("t", b"there")]

    asyncio.run(story())


@pytest.mark.parametrize("uri", ["memory:", "memory", "mqtt:x"])
def test_a_uri_without_a_name_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match="memory:NAME"):
        open_transport(uri, "")


def test_a_tap_sees_everything_even_what_nobody_receives() -> None:
    async def story() -> None:
        seen: list[Incoming] = []
        named("test-tap").taps.append(seen.append)
        async with open_transport("memory:test-tap", "") as writer:
            await writer.publish("a", b"1", 0)
            await writer.publish("$b", b"2", 2)
        assert seen == [Incoming("a", b"1"), Incoming("$b", b"2")]

    asyncio.run(story())


def test_a_session_survives_the_event_loop() -> None:
    broker = MemoryBroker()

    async def first() -> None:
        async with broker.connect("device") as device:
            await device.subscribe("t")

    async def second() -> list[Incoming]:
        async with broker.connect("device") as device:
            return await receive(device, 1)

    asyncio.run(first())
    broker.publish("t", b"kept")
    broker.publish("t", b"QoS 0 is not kept", 0)
    assert asyncio.run(second()) == [Incoming("t", b"kept")]


def test_a_second_connection_of_a_session_ends_the_first() -> None:
    async def story() -> None:
        broker = MemoryBroker()
        async with broker.connect("device") as first:
            await first.subscribe("t")
            async with broker.connect("device") as second:
                with pytest.raises(TransportError):
                    await first.publish("t", b"x")
                assert [message async for message in first] == []
                await second.publish("t", b"x")
                assert await receive(second, 1) == [Incoming("t", b"x")]

    asyncio.run(story())


def test_overlapping_filters_deliver_once() -> None:
    async def story() -> None:
        async with MemoryBroker().connect("") as both:
            for topic_filter in ("a/b", "a/+", "#"):
                await both.subscribe(topic_filter)
            await both.publish("a/b", b"1")
            await both.publish("a/b", b"2")
            assert [payload for _, payload in await receive(both, 2)] == [b"1", b"2"]

    asyncio.run(story())
