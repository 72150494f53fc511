# SPDX-License-Identifier: Apache-2.0
"""Topics and filters as MQTT has them, to the edges."""

from __future__ import annotations

from e4conformance.requirement import require
from e4conformance.transports.refused import refused
from e4conformance.transports.subject import PROTOCOL, TRANSPORTS, TransportSubject, nothing_else, receive, told
from e4core.errors import InvalidInput

_MQTT = "MQTT 5.0 section 4.7"
_MAX_LEN = 65_535


@TRANSPORTS.must(
    "E4-TTOP-001",
    "Topics with spaces, empty levels, and any characters of UTF-8 but NUL carry messages",
    source=f"{_MQTT}.3",
    advice="encode topics as UTF-8, and neither strip nor normalise them",
)
@told
async def unusual_topics_carry(subject: TransportSubject) -> None:
    base = subject.name("names")
    topics = (
        f"{base}/é/ü",
        f"{base}/ a b ",
        f"{base}//x",
        f"/{base}",
        f"{base}/",
        f"{base}/\U0001f511",
        f"{base}/e\u0301",
    )
    async with subject.connect() as both:
        for topic in topics:
            await both.subscribe(topic)
            await both.publish(topic, topic.encode())
            arrived = await receive(both, 1)
            require(arrived == [(topic, topic.encode())], f"on {topic!r} arrived {arrived}")


@TRANSPORTS.must(
    "E4-TTOP-002",
    "A topic of 65,535 bytes carries messages",
    source=f"{_MQTT}.3",
    advice="set no limit of your own; where the broker has one, declare that 'long-topics' are lacking",
    needs="long-topics",
)
@told
async def the_longest_topic_carries(subject: TransportSubject) -> None:
    topic = subject.name("long").ljust(_MAX_LEN, "x")
    async with subject.connect() as both:
        await both.subscribe(topic)
        await nothing_else(both, both, topic)


@TRANSPORTS.must(
    "E4-TTOP-003",
    "What cannot be a topic to publish to is InvalidInput, and the transport goes on",
    source=f"{_MQTT}.1, {_MQTT}.3",
    advice="check the topic before it is sent: a broker ends the connection for a wildcard or a NUL",
)
@told
async def impossible_topics_are_refused(subject: TransportSubject) -> None:
    topic = subject.name("topic")
    async with subject.connect() as both:
        await both.subscribe(topic)
        for wrong in ("", "a/+", "#", "a/#", "+", "a+b", "a\0b", "\ud800", "x" * (_MAX_LEN + 1), "é" * 32_768):
            # a def, as publish may raise before there is anything to await
            async def publish(wrong: str = wrong) -> None:
                await both.publish(wrong, b"")

            await refused(f"publishing to {wrong[:20]!r}", publish, InvalidInput)
        await nothing_else(both, both, topic)


@TRANSPORTS.must(
    "E4-TTOP-004",
    "What cannot be a filter is InvalidInput, subscribing and unsubscribing",
    source=f"{_MQTT}.1",
    advice="a wildcard is a whole level, and # the last one",
)
@told
async def impossible_filters_are_refused(subject: TransportSubject) -> None:
    async with subject.connect() as transport:
        for wrong in ("", "a#", "a/#/b", "a+/b", "+a", "a\0b", "\ud800", "x" * (_MAX_LEN + 1)):
            await refused(f"subscribing {wrong[:20]!r}", lambda w=wrong: transport.subscribe(w), InvalidInput)  # type: ignore[misc]
            await refused(f"unsubscribing {wrong[:20]!r}", lambda w=wrong: transport.unsubscribe(w), InvalidInput)  # type: ignore[misc]


@TRANSPORTS.must(
    "E4-TTOP-005",
    "The wildcards + and # cover what MQTT says",
    source=f"{_MQTT}.1",
    advice="+ is one level, which may be empty; a/# covers a itself",
)
@told
async def wildcards_cover(subject: TransportSubject) -> None:
    base = subject.name("wild")
    names = ("", "/b", "/b/c", "/b/c/d", "//c", "/é/c", "s/b/c")
    due = {f"{base}/+/c": ["/b/c", "//c", "/é/c"], f"{base}/#": list(names[:-1]), f"{base}/b": ["/b"]}
    for topic_filter, expected in due.items():
        async with subject.connect() as reader, subject.connect() as writer:
            await reader.subscribe(topic_filter)
            for name in names:
                await writer.publish(base + name, b"")
            arrived = [topic.removeprefix(base) for topic, _ in await receive(reader, len(expected))]
            require(arrived == expected, f"{topic_filter} covers {arrived}, not {expected}")
            last = base + expected[0]
            await nothing_else(reader, writer, last)


@TRANSPORTS.must(
    "E4-TTOP-006",
    "A leading wildcard covers no topic that begins with $",
    source=f"{_MQTT}.2",
    advice="leave the matching to the broker, or exclude topics that begin with $",
    needs="dollar-topics",
)
@told
async def dollar_topics_stay_apart(subject: TransportSubject) -> None:
    subject.require_declared("dollar-topics")
    rest = subject.name("dollar")
    async with subject.connect() as reader, subject.connect() as writer:
        await reader.subscribe(f"+/{rest}")
        await writer.publish(f"$e4-kit/{rest}", b"", 0)
        await nothing_else(reader, writer, f"e4-kit/{rest}")


@TRANSPORTS.must(
    "E4-TTOP-007",
    "After unsubscribe nothing comes on that topic, and all comes on the others",
    source=f"{PROTOCOL}Transport.unsubscribe",
    advice="wait for the broker's answer before unsubscribe returns",
)
@told
async def unsubscribing_ends_it(subject: TransportSubject) -> None:
    gone, kept = subject.name("gone"), subject.name("kept")
    async with subject.connect() as reader, subject.connect() as writer:
        await reader.subscribe(gone)
        await reader.subscribe(kept)
        await reader.unsubscribe(gone)
        await writer.publish(gone, b"missed")
        await nothing_else(reader, writer, kept)
