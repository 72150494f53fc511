# SPDX-License-Identifier: Apache-2.0
"""What every transport promises, at every kind of broker."""

from __future__ import annotations

import asyncio
import random

import pytest

from e4core.errors import InvalidInput, TransportError
from e4core.transport import Incoming, Transport
from tests.transports.conftest import Connect, Place, nothing_else, receive


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_published_arrives(place: Place, qos: int) -> None:
    async def story(connect: Connect) -> None:
        async with connect("reader") as reader, connect("") as writer:
            await reader.subscribe("door/bell")
            await writer.publish("door/bell", b"ding", qos)
            assert await receive(reader, 1) == [Incoming("door/bell", b"ding")]
            await nothing_else(reader, writer, "door/bell")

    place.tell(story)


@pytest.mark.parametrize(
    "payload", [b"", bytes(256), random.Random(4).randbytes(256 * 1024)], ids=["empty", "zeros", "256 KiB"]
)
def test_payloads_arrive_as_bytes_and_unchanged(place: Place, payload: bytes) -> None:
    async def story(connect: Connect) -> None:
        async with connect("") as both:
            await both.subscribe("blob")
            await both.publish("blob", payload)
            (arrived,) = await receive(both, 1)
            assert type(arrived.payload) is bytes
            assert arrived.payload == payload

    place.tell(story)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_2000_overlapping_publishes_arrive_once_and_in_order(place: Place, qos: int) -> None:
    if qos > place.max_qos:
        pytest.skip(f"this broker keeps no QoS {qos}")

    async def story(connect: Connect) -> None:
        async with connect("reader") as reader, connect("writer") as writer:
            await reader.subscribe("n/#")
            numbers = [str(n).encode() for n in range(2000)]
            reading = asyncio.create_task(receive(reader, len(numbers)))
            await asyncio.gather(*(writer.publish("n/1", number, qos) for number in numbers))
            assert [payload for _, payload in await reading] == numbers
            await nothing_else(reader, writer, "n/1")

    place.tell(story)


def test_wildcards_cover_what_mqtt_says(place: Place) -> None:
    async def story(connect: Connect) -> None:
        async with connect("plus") as plus, connect("hash") as many, connect("") as writer:
            await plus.subscribe("a/+/c")
            await many.subscribe("a/#")
            for topic in ("a", "a/b", "a/b/c", "a/b/c/d", "x/b/c", "a/é/c"):
                await writer.publish(topic, topic.encode())
            assert [topic for topic, _ in await receive(plus, 2)] == ["a/b/c", "a/é/c"]
            assert [topic for topic, _ in await receive(many, 5)] == ["a", "a/b", "a/b/c", "a/b/c/d", "a/é/c"]
            await nothing_else(plus, writer, "a/last/c")

    place.tell(story)


def test_a_session_with_a_client_id_gets_what_came_while_it_was_away(place: Place) -> None:
    async def story(connect: Connect) -> None:
        async with connect("sleeper") as sleeper:
            await sleeper.subscribe("night/+")
        numbers = [str(n).encode() for n in range(100)]
        async with connect("") as writer:
            await asyncio.gather(*(writer.publish("night/1", number, place.max_qos) for number in numbers))
            async with connect("sleeper") as sleeper:
                assert [payload for _, payload in await receive(sleeper, len(numbers))] == numbers
                await nothing_else(sleeper, writer, "night/1")

    place.tell(story)


def test_without_a_client_id_nothing_is_kept(place: Place) -> None:
    async def story(connect: Connect) -> None:
        async with connect("") as reader:
            await reader.subscribe("t")
        async with connect("") as writer:
            await writer.publish("t", b"missed")
            async with connect("") as reader:
                await reader.subscribe("t")
                await nothing_else(reader, writer, "t")

    place.tell(story)


def test_after_unsubscribe_nothing_comes(place: Place) -> None:
    async def story(connect: Connect) -> None:
        async with connect("") as reader, connect("") as writer:
            await reader.subscribe("a")
            await reader.subscribe("b")
            await reader.unsubscribe("a")
            await writer.publish("a", b"missed")
            await nothing_else(reader, writer, "b")

    place.tell(story)


def test_the_iterator_ends_when_the_transport_is_closed(place: Place) -> None:
    async def story(connect: Connect) -> None:
        async def read_all(transport: Transport) -> list[bytes]:
            return [payload async for _, payload in transport]

        async with connect("") as reader:
            await reader.subscribe("t")
            reading = asyncio.create_task(read_all(reader))
            await reader.publish("t", b"one", 0)
            await reader.publish("t", b"two", 1)
        assert set(await reading) <= {b"one", b"two"}

    place.tell(story)


def test_a_read_that_timed_out_loses_nothing(place: Place) -> None:
    async def story(connect: Connect) -> None:
        async with connect("") as reader:
            await reader.subscribe("t")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(aiter(reader)), 0.01)
            await reader.publish("t", b"late")
            assert await receive(reader, 1) == [Incoming("t", b"late")]

    place.tell(story)


def test_after_closing_nothing_can_be_published(place: Place) -> None:
    async def story(connect: Connect) -> None:
        transport = connect("")
        with pytest.raises(TransportError):
            await transport.publish("t", b"too early")
        states = [transport.connected]
        async with transport:
            states.append(transport.connected)
        states.append(transport.connected)
        assert states == [False, True, False]
        with pytest.raises(TransportError):
            await transport.publish("t", b"too late")
        with pytest.raises(TransportError):
            await transport.subscribe("t")

    place.tell(story)


def test_it_states_the_qos_of_its_broker(place: Place) -> None:
    async def story(connect: Connect) -> None:
        async with connect("") as transport:
            assert transport.max_qos == place.max_qos

    place.tell(story)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "\ud800", "x" * 65_536])
def test_a_topic_that_cannot_be_published_to_is_refused(place: Place, topic: str) -> None:
    async def story(connect: Connect) -> None:
        async with connect("") as transport:
            with pytest.raises(InvalidInput):
                await transport.publish(topic, b"")
            await transport.publish("t", b"still alive")

    place.tell(story)


@pytest.mark.parametrize("topic", ["", "a#", "a/#/b", "a+/b", "a\0b"])
def test_a_topic_that_cannot_be_subscribed_is_refused(place: Place, topic: str) -> None:
    async def story(connect: Connect) -> None:
        async with connect("") as transport:
            with pytest.raises(InvalidInput):
                await transport.subscribe(topic)
            with pytest.raises(InvalidInput):
                await transport.unsubscribe(topic)

    place.tell(story)
