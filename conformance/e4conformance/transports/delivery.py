# SPDX-License-Identifier: Apache-2.0
"""What is published arrives: unchanged, in order, as often as its QoS promises."""

from __future__ import annotations

import asyncio
import time

from e4conformance.requirement import NotExercised, require
from e4conformance.transports.refused import refused
from e4conformance.transports.subject import PROTOCOL, TRANSPORTS, TransportSubject, nothing_else, receive, told
from e4core.errors import TransportError
from e4core.transport import Incoming

_PUBLISH, _ITER = f"{PROTOCOL}Transport.publish", f"{PROTOCOL}Transport.__aiter__"
_OVERLAPPING = 800
_MANY, _FEWEST, _BATCH = 10_000, 1000, 250


@TRANSPORTS.must(
    "E4-TDEL-001",
    "max_qos is 0, 1 or 2, and what is published at each QoS arrives once, also above max_qos",
    source=f"{PROTOCOL}Transport.max_qos",
    advice="publish at min(qos, max_qos)",
)
@told
async def every_qos_delivers(subject: TransportSubject) -> None:
    require(subject.max_qos in (0, 1, 2), f"max_qos is {subject.max_qos!r}")
    topic = subject.name("qos")
    async with subject.connect(subject.name("reader")) as reader, subject.connect() as writer:
        await reader.subscribe(topic)
        for qos in (0, 1, 2):
            await writer.publish(topic, b"%d" % qos, qos)
            arrived = await receive(reader, 1)
            require(arrived == [(topic, b"%d" % qos)], f"at QoS {qos} arrived {arrived}")
        await nothing_else(reader, writer, topic)


@TRANSPORTS.must(
    "E4-TDEL-002",
    "Payloads arrive as bytes and unchanged, whatever is in them, with the topic as text",
    source=f"{PROTOCOL}Incoming",
    advice="give bytes(payload) and str(topic); decode nothing: a payload is ciphertext",
)
@told
async def payloads_are_bytes(subject: TransportSubject) -> None:
    topic = subject.name("bytes")
    payloads = (
        b"",
        b"\0",
        bytes(range(256)),
        b"\xff\xfe" * 50,
        b'{"text": 1}',
        b" \r\n",
        subject.random().randbytes(999),
    )
    async with subject.connect() as both:
        await both.subscribe(topic)
        for payload in payloads:
            await both.publish(topic, payload)
            (arrived,) = await receive(both, 1)
            require(isinstance(arrived, Incoming), f"a {type(arrived).__name__} arrived, not an Incoming")
            require(type(arrived.payload) is bytes, f"the payload is {type(arrived.payload).__name__}, not bytes")
            require(arrived == (topic, payload), f"{payload[:40]!r} arrived as {arrived.payload[:40]!r}")


@TRANSPORTS.must(
    "E4-TDEL-003",
    "What is published in an overlapping way arrives once and in the order of the calls, at each QoS up to max_qos",
    source=_PUBLISH,
    advice="keep one queue, and number messages as they are handed over",
)
@told
async def order_is_kept(subject: TransportSubject) -> None:
    topic = subject.name("order")
    numbers = [b"%d" % number for number in range(_OVERLAPPING)]
    async with subject.connect(subject.name("reader")) as reader, subject.connect(subject.name("writer")) as writer:
        await reader.subscribe(f"{topic}/#")
        for qos in range(subject.max_qos + 1):
            reading = asyncio.create_task(receive(reader, len(numbers)))
            await asyncio.gather(*(writer.publish(f"{topic}/{qos}", number, qos) for number in numbers))
            arrived = [payload for _, payload in await reading]
            _require_same(f"at QoS {qos}", arrived, numbers)
        await nothing_else(reader, writer, f"{topic}/last")


@TRANSPORTS.must(
    "E4-TDEL-004",
    "A reader that does not read holds up nobody, and finds all that came when it reads",
    source=_ITER,
    advice="take what arrives off the link into a queue of the reader, and let publish wait for the broker alone",
)
@told
async def slow_readers_hold_up_nobody(subject: TransportSubject) -> None:
    topic, qos = subject.name("slow"), min(1, subject.max_qos)
    async with (
        subject.connect(subject.name("reader")) as reader,
        subject.connect(subject.name("quick")) as quick,
        subject.connect() as writer,
    ):
        await reader.subscribe(topic)
        await quick.subscribe(topic)
        sent: list[bytes] = []
        begun = time.perf_counter()
        while len(sent) < _MANY and (len(sent) < _FEWEST or time.perf_counter() - begun < subject.budget_s):
            batch = [b"%d" % number for number in range(len(sent), len(sent) + _BATCH)]
            await asyncio.gather(*(writer.publish(topic, number, qos) for number in batch))
            # what a broker keeps for a reader has bounds of its own; one that reads tells how far it is
            await receive(quick, _BATCH)
            sent += batch
        arrived = [payload for _, payload in await receive(reader, len(sent))]
        _require_same("to a slow reader", arrived, sent)
        await nothing_else(reader, writer, topic)


@TRANSPORTS.must(
    "E4-TDEL-005",
    "Payloads of 256 KiB and 1 MiB arrive unchanged, and in order with short ones",
    source=_PUBLISH,
    advice="read and write in a loop; a packet may come in any number of pieces",
)
@told
async def large_payloads_arrive(subject: TransportSubject) -> None:
    topic, random = subject.name("large"), subject.random()
    payloads = [b"before", random.randbytes(256 * 1024), b"between", random.randbytes(1024 * 1024), b"after"]
    async with subject.connect() as both:
        await both.subscribe(topic)
        await asyncio.gather(*(both.publish(topic, payload) for payload in payloads))
        arrived = [payload for _, payload in await receive(both, len(payloads))]
        require(arrived == payloads, f"payloads of {list(map(len, payloads))} bytes: {list(map(len, arrived))} arrived")


@TRANSPORTS.must(
    "E4-TDEL-006",
    "A payload that the broker does not take is a TransportError, and the transport goes on",
    source=f"{_PUBLISH}; MQTT 5.0 section 3.2.2.3.6 (Maximum Packet Size)",
    advice="compare the length with what the broker has told, and say both in the error; never drop it silently",
    needs="limit",
)
@told
async def oversize_is_an_error(subject: TransportSubject) -> None:
    limit = subject.hooks.max_payload_len
    if limit is None:
        raise NotExercised("the hook max_payload_len is missing: the longest payload that the broker takes, in bytes")
    topic = subject.name("oversize")
    async with subject.connect() as both:
        await both.subscribe(topic)
        await both.publish(topic, bytes(limit))
        require(len((await receive(both, 1))[0].payload) == limit, "the longest payload did not arrive whole")
        too_long = f"a payload of {limit + 1000} bytes"
        await refused(too_long, lambda: both.publish(topic, bytes(limit + 1000)), TransportError)
        await nothing_else(both, both, topic)


@TRANSPORTS.must(
    "E4-TDEL-007",
    "Nothing is retained at the broker",
    source=f"{PROTOCOL}Transport",
    advice="publish with retain off: who subscribes later must not get an old message as if it were new",
)
@told
async def nothing_is_retained(subject: TransportSubject) -> None:
    topic = subject.name("retained")
    async with subject.connect() as writer:
        for qos in range(subject.max_qos + 1):
            await writer.publish(topic, b"early", qos)
        async with subject.connect() as reader:
            await reader.subscribe(topic)
            await nothing_else(reader, writer, topic)


def _require_same(what: str, arrived: list[bytes], sent: list[bytes]) -> None:
    for place, (found, due) in enumerate(zip(arrived, sent, strict=True)):
        require(found == due, f"{what}: as message {place} of {len(sent)} {found!r} arrived, where {due!r} was due")
