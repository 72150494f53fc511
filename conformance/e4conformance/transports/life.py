# SPDX-License-Identifier: Apache-2.0
"""From opening to closing, what a broker keeps in between, and what nobody may see."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from e4conformance.credentials import named_in
from e4conformance.requirement import NotExercised, Unmet, require
from e4conformance.spellings import leaks, numbered, said
from e4conformance.transports.refused import refused
from e4conformance.transports.subject import PROTOCOL, TRANSPORTS, TransportSubject, nothing_else, receive, told
from e4core.errors import E4Error, InvalidInput, TransportError
from e4core.transport import Incoming, Transport

_CLOSINGS = 3
"""What arrived at another reader may still be on its way to this one, but hardly each time."""
_TRANSPORT, _FACTORY = f"{PROTOCOL}Transport", f"{PROTOCOL}TransportFactory"


@TRANSPORTS.must(
    "E4-TLIF-001",
    "Outside of async with nothing can be done: TransportError",
    source=_TRANSPORT,
    advice="refuse calls before __aenter__ and after __aexit__",
)
@told
async def outside_nothing_can_be_done(subject: TransportSubject) -> None:
    transport, topic = subject.connect(), subject.name("outside")
    states = [(transport.connected, transport.connections)]
    await _refuses_all(transport, topic, "too early")
    async with transport:
        states.append((transport.connected, transport.connections))
        await transport.publish(topic, b"")
    await _refuses_all(transport, topic, "too late")
    require(states == [(False, 0), (True, 1)], f"connected and connections were {states}, not [(False, 0), (True, 1)]")
    require(not transport.connected, "it is connected after it was closed")


async def _refuses_all(transport: Transport, topic: str, when: str) -> None:
    async def publish() -> None:
        await transport.publish(topic, b"")

    await refused(f"publishing {when}", publish, TransportError)
    await refused(f"subscribing {when}", lambda: transport.subscribe(topic), TransportError)
    await refused(f"unsubscribing {when}", lambda: transport.unsubscribe(topic), TransportError)


@TRANSPORTS.must(
    "E4-TLIF-002",
    "The iterator ends when the transport is closed, after what had arrived",
    source=f"{_TRANSPORT}.__aiter__",
    advice="raise StopAsyncIteration to whoever waits when the transport closes",
)
@told
async def the_iterator_ends(subject: TransportSubject) -> None:
    async with subject.connect() as reader:
        await reader.subscribe(subject.name("end"))
        waiting = asyncio.create_task(_all_of(aiter(reader)))
        await asyncio.sleep(0)
    require(await waiting == [], "something arrived that nobody sent")
    unread = [await _left_unread(subject) for _ in range(_CLOSINGS)]
    require([b"one", b"two"] in unread, f"of one and two, which had arrived, it gave {unread} after it was closed")


async def _left_unread(subject: TransportSubject) -> list[bytes]:
    """What a transport gives after it was closed, of one and two that were sent to it, and have arrived elsewhere."""
    topic = subject.name("unread")
    async with subject.connect() as witness:
        async with subject.connect() as reader:
            arrivals = aiter(reader)
            for each in (reader, witness):
                await each.subscribe(topic)
            for payload in (b"one", b"two"):
                await witness.publish(topic, payload)
            await receive(witness, 2)
            await reader.subscribe(subject.name("later"))  # to the broker and back, behind what it sent before
        return await _all_of(arrivals)


async def _all_of(arrivals: AsyncIterator[Incoming]) -> list[bytes]:
    return [payload async for _, payload in arrivals]


@TRANSPORTS.must(
    "E4-TLIF-003",
    "A read that was given up loses nothing",
    source=f"{_TRANSPORT}.__aiter__",
    advice="take a message out of the queue only when it is handed over",
)
@told
async def cancelled_reads_lose_nothing(subject: TransportSubject) -> None:
    topic = subject.name("late")
    async with subject.connect() as reader:
        await reader.subscribe(topic)
        for number in range(5):
            with suppress(TimeoutError):
                await asyncio.wait_for(anext(aiter(reader)), 0.005)
            await reader.publish(topic, b"%d" % number)
            arrived = await receive(reader, 1)
            require(arrived == [(topic, b"%d" % number)], f"{arrived} arrived, where {number} was due")


@TRANSPORTS.must(
    "E4-TLIF-004",
    "A publish that is given up spoils nothing that comes after it",
    source=f"{_TRANSPORT}.publish",
    advice="let a cancelled call leave the queue in good order",
)
@told
async def cancelled_publishes_spoil_nothing(subject: TransportSubject) -> None:
    topic = subject.name("cancelled")
    async with subject.connect() as both:
        await both.subscribe(topic)
        for turns in range(6):
            given_up = asyncio.ensure_future(both.publish(topic, b"given up", subject.max_qos))
            for _ in range(turns):
                await asyncio.sleep(0)
            given_up.cancel()
            await asyncio.wait([given_up])
        await both.publish(topic, b"last", subject.max_qos)
        while (await receive(both, 1))[0].payload != b"last":
            pass


@TRANSPORTS.must(
    "E4-TLIF-005",
    "A session with a client id gets, in order, what came at QoS 1 or 2 while it was away",
    source=_FACTORY,
    advice="connect with the client id and without a clean start",
    needs="sessions",
)
@told
async def sessions_are_kept(subject: TransportSubject) -> None:
    topic, who = subject.name("night"), subject.name("sleeper")
    numbers = [b"%d" % number for number in range(100)]
    async with subject.connect(who) as sleeper:
        await sleeper.subscribe(f"{topic}/+")
    async with subject.connect() as writer:
        await asyncio.gather(*(writer.publish(f"{topic}/1", number, max(1, subject.max_qos)) for number in numbers))
        async with subject.connect(who) as sleeper:
            arrived = [payload for _, payload in await receive(sleeper, len(numbers))]
            require(arrived == numbers, "what came meanwhile arrived in another order, or not once")
            await nothing_else(sleeper, writer, f"{topic}/1")


@TRANSPORTS.must(
    "E4-TLIF-006",
    "Without a client id nothing is kept",
    source=_FACTORY,
    advice="ask the broker for a clean session, and end it on closing",
)
@told
async def without_an_id_nothing_is_kept(subject: TransportSubject) -> None:
    topic = subject.name("kept")
    async with subject.connect() as reader:
        await reader.subscribe(topic)
    async with subject.connect() as writer:
        await writer.publish(topic, b"missed")
        async with subject.connect() as reader:
            await reader.subscribe(topic)
            await nothing_else(reader, writer, topic)


@TRANSPORTS.must(
    "E4-TLIF-007",
    "Where nobody listens, connecting is a TransportError",
    source=f"{_TRANSPORT}.__aenter__",
    advice="translate what the network raises, and say host and port",
    needs="link",
)
@told
async def nobody_there_is_an_error(subject: TransportSubject) -> None:
    async with subject.link() as link:
        uri = link.uri

    await refused("connecting where nobody listens", lambda: _visit(subject, uri), TransportError)


@TRANSPORTS.must(
    "E4-TLIF-008",
    "A URI that cannot be right is InvalidInput, and no URI makes it raise anything but an E4Error",
    source=_FACTORY,
    advice="parse the URI once, in the factory",
)
def uris_are_parsed(subject: TransportSubject) -> None:
    try:
        subject.connect(uri=f"{subject.uri.partition(':')[0]}:")
    except InvalidInput:
        pass
    else:
        raise Unmet("a URI of a scheme and nothing else was accepted")
    random, uri = subject.random(), subject.uri
    for _ in range(60):
        place = random.randrange(uri.index(":") + 1, len(uri) + 1)
        text = random.choice(["", "%", "\n", "\0", "é", "?", "#", "[", "&", "=", "@", ":", "\ud800"])
        with suppress(E4Error):
            subject.connect(uri=uri[:place] + text + (uri[place:] if text else ""))


@TRANSPORTS.must(
    "E4-TSEC-001",
    "No repr, log at DEBUG or error shows the credentials to which the URI points",
    source="NIST SP 800-57 part 1 section 6.2.2",
    advice="read passwords when connecting and keep them in e4core.keys.Secret; do not log packets",
    needs="credentials",
)
@told
async def credentials_are_not_shown(subject: TransportSubject) -> None:
    if not subject.credentials:
        raise NotExercised("the URI points to no private file or variable")
    topic, places = subject.name("secret"), dict[str, str]()
    wrong = subject.hooks.wrong_credentials_uri() if subject.hooks.wrong_credentials_uri else ""
    with said() as log:
        transport = subject.connect(subject.name("reader"))
        async with transport:
            await transport.subscribe(topic)
            await transport.publish(topic, b"x")
            places["repr"] = f"{transport!r} {transport!s} {vars(transport) if hasattr(transport, '__dict__') else ''}"
        places["error when closed"] = await _error_of(lambda: transport.subscribe(topic))
        if "link" in subject.declared:
            async with subject.link() as link:
                uri = link.uri
            places["error where nobody listens"] = await _error_of(lambda: _visit(subject, uri))
        if wrong:
            places["error of wrong credentials"] = await _error_of(lambda: _visit(subject, wrong))
    places["log"] = log.getvalue()
    if found := leaks(places, numbered("credential", {*subject.credentials, *named_in(wrong)})):
        raise Unmet("; ".join(found))


async def _visit(subject: TransportSubject, uri: str) -> None:
    async with subject.connect(uri=uri):
        pass


async def _error_of(act: Callable[[], Awaitable[object]]) -> str:
    """With its causes and its traceback; whether it may fail is another requirement."""
    try:
        await act()
    except Exception as error:
        return "".join(traceback.format_exception(error))
    return ""
