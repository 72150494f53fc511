# SPDX-License-Identifier: Apache-2.0
"""Links that break: the transport connects again by itself, and keeps its promises across."""

from __future__ import annotations

import asyncio

from e4conformance.requirement import require
from e4conformance.transports.subject import (
    PROTOCOL,
    TRANSPORTS,
    Link,
    TransportSubject,
    nothing_else,
    receive,
    told,
    until,
)
from e4core.errors import TransportError
from e4core.transport import Transport

_TRANSPORT = f"{PROTOCOL}Transport"
_PUBLISH, _SUBSCRIBE = f"{_TRANSPORT}.publish", f"{_TRANSPORT}.subscribe"
_NUMBERS = [b"%073d" % number for number in range(600)]
_CUTS = 4
_TRUE_ORDER = "keep what the broker has not acknowledged, and send it again in order before anything younger"


@TRANSPORTS.must(
    "E4-TLNK-001",
    "After a lost link it connects again by itself, and connected and connections tell of it",
    source=f"{_TRANSPORT}.connections",
    advice="notice the loss, connect again with growing pauses, and count each connection that the broker accepts",
    needs="link",
)
@told
async def it_connects_again(subject: TransportSubject) -> None:
    async with subject.link() as link, subject.connect(uri=link.uri) as transport:
        for count in (1, 2, 3):
            await until(lambda: transport.connected)
            require(
                transport.connections == count, f"connections is {transport.connections}, where it is the {count}th"
            )
            await _lost(link, transport)


@TRANSPORTS.must(
    "E4-TLNK-002",
    "After a lost link its subscriptions are there again, and those that were given up are not",
    source=_SUBSCRIBE,
    advice="keep what was subscribed, and ask each new connection for all of it before publishing",
    needs="link",
)
@told
async def subscriptions_come_back(subject: TransportSubject) -> None:
    kept, other, given_up = (subject.name(what) for what in ("kept", "other", "given-up"))
    async with subject.link() as link, subject.connect(uri=link.uri) as reader, subject.connect() as writer:
        for topic in (kept, f"{other}/+", given_up):
            await reader.subscribe(topic)
        await reader.unsubscribe(given_up)
        await _again(link, reader)
        for topic in (given_up, kept, f"{other}/1"):
            # through itself: its own request to subscribe went before
            await reader.publish(topic, b"x", min(1, subject.max_qos))
        arrived = [topic for topic, _ in await receive(reader, 2)]
        require(arrived == [kept, f"{other}/1"], f"after the loss it received {arrived}")
        await nothing_else(reader, writer, kept)


@TRANSPORTS.must(
    "E4-TLNK-003",
    "What is subscribed and published while the link is down takes effect when it is up again",
    source=_PUBLISH,
    advice="let publish, subscribe and unsubscribe wait while there is no connection",
    needs="link",
)
@told
async def what_was_asked_meanwhile_is_done(subject: TransportSubject) -> None:
    topic, before = subject.name("meanwhile"), subject.name("before")
    async with subject.link() as link, subject.connect(uri=link.uri) as both:
        await both.subscribe(before)
        link.hold()
        await _lost(link, both)
        waiting = [
            asyncio.ensure_future(both.subscribe(topic)),
            asyncio.ensure_future(both.unsubscribe(before)),
            *(asyncio.ensure_future(both.publish(to, b"x", min(1, subject.max_qos))) for to in (before, topic)),
        ]
        await asyncio.sleep(0.05)
        require(not any(each.done() for each in waiting), "done, though there was no connection")
        link.release()
        await asyncio.gather(*waiting)
        await _is_next(both, topic)


@TRANSPORTS.must(
    "E4-TLNK-010",
    "At QoS 1 nothing is lost and nothing reordered while the link of who publishes keeps breaking",
    source=f"{_PUBLISH}; MQTT 5.0 sections 4.4 and 4.6",
    advice=_TRUE_ORDER,
    needs="qos-1 over links",
)
@told
async def at_least_once_over_cuts(subject: TransportSubject) -> None:
    arrived = await _through_cuts_of_the_writer(subject, 1)
    first = list(dict.fromkeys(arrived))
    require(not set(_NUMBERS) - set(arrived), f"{len(set(_NUMBERS) - set(arrived))} of {len(_NUMBERS)} are lost")
    require(first == _NUMBERS, "they arrived in another order")


@TRANSPORTS.must(
    "E4-TLNK-011",
    "At QoS 2 each message arrives exactly once and in order while the link of who publishes keeps breaking",
    source=f"{_PUBLISH}; MQTT 5.0 sections 4.3.3, 4.4 and 4.6",
    advice=_TRUE_ORDER + ", with the packet identifier that it had",
    needs="qos-2 over links",
)
@told
async def exactly_once_over_cuts(subject: TransportSubject) -> None:
    subject.require_declared("qos-2 over links")
    arrived = await _through_cuts_of_the_writer(subject, 2)
    twice = len(arrived) - len(set(arrived))
    require(not twice, f"{twice} arrived twice")
    require(arrived == _NUMBERS, "some are lost, or they arrived in another order")


async def _through_cuts_of_the_writer(subject: TransportSubject, qos: int) -> list[bytes]:
    """What arrives until a last message does."""
    topic, step = subject.name("cuts"), len(_NUMBERS) // _CUTS
    arrived: list[bytes] = []
    async with (
        subject.link(cut_after=20_000) as link,
        subject.connect(subject.name("reader")) as reader,
        subject.connect(subject.name("writer"), link.uri) as writer,
    ):
        await reader.subscribe(topic)
        publishing = asyncio.gather(*(asyncio.ensure_future(writer.publish(topic, each, qos)) for each in _NUMBERS))
        publishing.add_done_callback(lambda done: done.cancelled() or done.exception())
        ending = asyncio.create_task(_publish_last(subject, topic, publishing))
        async for _, payload in reader:
            if payload == b"last":
                break
            arrived.append(payload)
            if len(arrived) % step == 0:
                link.cut()
        await ending
    return arrived


async def _publish_last(subject: TransportSubject, topic: str, publishing: asyncio.Future[list[None]]) -> None:
    await publishing
    async with subject.connect() as control:
        await control.publish(topic, b"last", 1)


@TRANSPORTS.must(
    "E4-TLNK-012",
    "At QoS 1 and 2 nothing is lost and nothing reordered while the link of who reads keeps breaking",
    source=f"{_TRANSPORT}.__aiter__; MQTT 5.0 section 4.6",
    advice="acknowledge what has been received and no other; at a session that was kept the broker sends the rest again",
    needs="redelivery-order",
)
@told
async def readers_lose_nothing_over_cuts(subject: TransportSubject) -> None:
    subject.require_declared("redelivery-order")
    qos = subject.max_qos
    topic, step = subject.name("cuts"), len(_NUMBERS) // _CUTS
    arrived: dict[bytes, None] = {}
    async with (
        subject.link() as link,
        subject.connect(subject.name("reader"), link.uri) as reader,
        subject.connect() as writer,
    ):
        await reader.subscribe(topic)
        publishing = asyncio.gather(*(asyncio.ensure_future(writer.publish(topic, each, qos)) for each in _NUMBERS))
        for begin in range(0, len(_NUMBERS), step):
            while len(arrived) < begin + step:
                (incoming,) = await receive(reader, 1)
                require(qos < 2 or incoming.payload not in arrived, "a message arrived twice at QoS 2")
                arrived[incoming.payload] = None
            link.cut()
        await publishing
    require(list(arrived) == _NUMBERS, "they arrived in another order")


@TRANSPORTS.must(
    "E4-TLNK-020",
    "Closing fails what the broker has not answered with TransportError, and does not wait for a broker that is silent",
    source=_PUBLISH,
    advice="end every waiting call in __aexit__, and give the farewell a short deadline",
    needs="link",
)
@told
async def closing_fails_what_is_outstanding(subject: TransportSubject) -> None:
    topic = subject.name("outstanding")
    async with subject.link() as link:
        async with subject.connect(subject.name("writer"), link.uri) as writer:
            await writer.publish(topic, b"answered", subject.max_qos)
            link.hold()
            await _lost(link, writer)
            waiting = [asyncio.ensure_future(writer.publish(topic, b"x", subject.max_qos)) for _ in range(30)]
            waiting.append(asyncio.ensure_future(writer.subscribe(topic)))
            await asyncio.sleep(0)
        outcomes = {type(each).__name__ for each in await asyncio.gather(*waiting, return_exceptions=True)}
        require(outcomes == {TransportError.__name__}, f"what was outstanding ended with {', '.join(sorted(outcomes))}")


@TRANSPORTS.must(
    "E4-TLNK-021",
    "A publish that is given up before it left is not sent",
    source=_PUBLISH,
    advice="take a cancelled message out of the queue: who gave it up may have sent a newer one",
    needs="link",
)
@told
async def given_up_is_not_sent(subject: TransportSubject) -> None:
    topic = subject.name("given-up")
    async with subject.link() as link, subject.connect(uri=link.uri) as both:
        await both.subscribe(topic)
        link.hold()
        await _lost(link, both)
        given_up = asyncio.ensure_future(both.publish(topic, b"given up", min(1, subject.max_qos)))
        await asyncio.sleep(0.02)
        given_up.cancel()
        await asyncio.wait([given_up])
        kept = asyncio.ensure_future(both.publish(topic, b"x", min(1, subject.max_qos)))
        link.release()
        await kept
        await _is_next(both, topic)


async def _is_next(transport: Transport, topic: str) -> None:
    arrived = await receive(transport, 1)
    require(arrived == [(topic, b"x")], f"{arrived} arrived first")


async def _lost(link: Link, transport: Transport) -> None:
    """Break the link, and wait until the transport has noticed."""
    before = transport.connections
    link.cut()
    await until(lambda: not transport.connected or transport.connections > before)


async def _again(link: Link, transport: Transport) -> None:
    before = transport.connections
    link.cut()
    await until(lambda: transport.connections > before and transport.connected)
