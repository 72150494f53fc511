# SPDX-License-Identifier: Apache-2.0
"""A device at work: between its client (`e4core.formats`), a broker, and an application that publishes and reads.

``async with Device(client, transport) as device:`` connects, obeys and acknowledges commands, says hello, and saves the state on
the way out. Whatever the broker delivers, nothing stops it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from e4core.errors import E4Error, KmsError, RateExceeded, Replayed, StorageError, TransportError
from e4core.formats import AnyClient
from e4core.inbox import Inbox
from e4core.keys import CONTROL_PREFIX, report_topic
from e4core.message import Message
from e4core.report import Outcome
from e4core.sending import PATIENCE_S
from e4core.transport import Transport
from e4device.counters import Counters
from e4device.reports import Reports

_LOG = logging.getLogger(__name__)
_random = secrets.SystemRandom()

REPORT_QOS = 2
HELLO_REPEAT_S = (1.0, 3600.0)
"""Least and longest time between two hellos that were not answered."""
LINK_CHECK_S = 0.1
"""How often the transport is asked for the number of its connections."""
ERASE_EVERY_S = (1.0, 60.0)
"""How often it is looked whether the grace of a previous topic key is over; and after a failure."""
EARLY, EARLY_KEPT, EARLY_KEPT_S = "epoch_unknown", 64, 60.0
"""Messages that come before the key of their epoch are tried again when a command was obeyed, but not later than this."""


class Received(NamedTuple):
    topic: str
    message: Message


class _Early(NamedTuple):
    until: float
    topic: str
    payload: bytes


class Device:
    """Takes a client of either format and a `Transport` that is not yet connected, and closes both."""

    def __init__(
        self,
        client: AnyClient,
        transport: Transport,
        clock: Callable[[], float] = time.time,
        hello_delay_s: float = 30.0,
        backlog: int = 10_000,
        answer_within_s: float = 10.0,
    ) -> None:
        """Not yet connected.

        Args: clock: Unix seconds with their fraction; for a client that trusts no clock any that runs evenly, such as
        `time.monotonic`.  hello_delay_s: the hello after each new connection waits a random part of
        this, so that a fleet does not speak at once.  backlog: messages kept for an application that does not read; when there
        are more, the oldest go.  answer_within_s: what the broker has to answer the first subscription, once connected.
        """
        self.counters = Counters()
        self._client = client
        self._transport = transport
        self._clock = clock
        self._hello_delay_s = hello_delay_s
        self._answer_within_s = answer_within_s
        self._control_topic = client.state.control_topic
        self._report_topic = report_topic(client.state.client_id)
        self._inbox = Inbox[Received](backlog)
        self._early: deque[_Early] = deque(maxlen=EARLY_KEPT)
        self._reports = Reports()
        self._answered = asyncio.Event()
        self._hello: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def _now(self) -> float:
        return self._clock() + self._client.clock_offset_s

    @property
    def connected(self) -> bool:
        return not self._closed and self._transport.connected

    @property
    def synchronised(self) -> bool:
        """True once the C2 has answered the hello of this connection."""
        return self.counters.hellos > 0 and self._client.synchronised

    async def wait_synchronised(self) -> None:
        """Return when the C2 has answered a hello."""
        await self._answered.wait()

    async def __aenter__(self) -> Self:
        """Connect, subscribe to the control topic and begin.

        Raises: TransportError: not connected or subscribed in time, or refused. StorageError. The state is then left in order.
        """
        try:
            await self._transport.__aenter__()
        except BaseException:
            self._stop()
            raise
        try:
            self._begin(self._read())
            self._begin(self._send_reports())
            self._begin(self._erase_expired())
            await self._listen()
            self._begin(self._watch_link())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop, save the state with its replay memory, and disconnect; harmless when repeated. Raises: StorageError."""
        if self._closed:
            return
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        try:
            self._stop()
        finally:
            await self._transport.__aexit__(None, None, None)
            await asyncio.gather(*tasks, return_exceptions=True)

    async def subscribe(self, topic: str) -> None:
        """Receive ``topic`` (the wildcards ``+`` and ``#`` may be used) by `messages`, now and after each new connection."""
        await self._transport.subscribe(topic)

    async def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Protect ``payload`` and hand it to the broker; return when it is acknowledged.

        Equal payloads in a row wait for the next second, up to a minute.
        Raises: UnknownKey: no key for ``topic`` yet. InvalidInput. RateExceeded. TooOld: the clock was set back by more than that.
        StorageError. TransportError.
        """
        data = await self._protect(payload, topic)
        await self._transport.publish(topic, data, qos)
        self.counters.published += 1

    def messages(self) -> Inbox[Received]:
        """What was received and in order, for ``async for``; ends when the device is closed.

        Raises: TransportError: the connection ended and does not come back.
        """
        return self._inbox

    # ------------------------------------------------------------------------------------------------- sending

    async def _protect(self, payload: bytes, topic: str) -> bytes:
        for _ in range(PATIENCE_S):
            if self._closed:
                raise TransportError("the device is closed")
            with suppress(RateExceeded):
                return self._client.protect(payload, topic, self._now())
            await asyncio.sleep(1)
        return self._client.protect(payload, topic, self._now())

    async def _send_reports(self) -> None:
        while True:
            await self._report(await self._reports.get())

    async def _report(self, report: bytes) -> None:
        try:
            await self._transport.publish(self._report_topic, report, REPORT_QOS)
        except E4Error as error:
            self._count(error, "a report was not sent")

    async def _say_hello(self) -> None:
        await asyncio.sleep(_random.uniform(0, self._hello_delay_s))
        self._answered.clear()
        least, longest = HELLO_REPEAT_S
        delay = max(self._hello_delay_s, least)
        while not self._answered.is_set():
            try:
                hello = self._client.hello(self._now())
                self.counters.hellos += 1
                await self._report(hello)
            except KmsError as error:  # the token that signs it may come back
                self._count(error, "a hello was not sealed")
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._answered.wait()
            delay = min(2 * delay, longest)

    async def _watch_link(self) -> None:
        """Say hello on each new connection: the broker may have kept nothing of what was sent meanwhile."""
        greeted = 0
        while True:
            connections = self._transport.connections
            if connections > greeted:
                self.counters.reconnects = connections - 1
                if self._hello:
                    self._hello.cancel()
                self._hello = self._begin(self._say_hello())
            greeted = connections
            await asyncio.sleep(LINK_CHECK_S)

    # ----------------------------------------------------------------------------------------------- receiving

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(self._answer_within_s):
                await self._transport.subscribe(self._control_topic)
        except TimeoutError:
            text = f"the broker did not answer a subscription within {self._answer_within_s:g} s; is it overloaded?"
            raise TransportError(text) from None

    async def _read(self) -> None:
        async for topic, payload in self._transport:
            if topic == self._control_topic:
                self._obey(payload)
            elif not topic.startswith(CONTROL_PREFIX):
                # a wildcard also brings the control topics and reports of others, which are nobody's messages
                self._take(topic, payload)
        raise TransportError("the connection to the broker has ended; does another client use the same id?")

    def _take(self, topic: str, payload: bytes, until: float = 0) -> None:
        """Args: until: when a message that came too early is given up; 0: it came just now."""
        try:
            message = self._client.unprotect(payload, topic, self._now())
        except Replayed:
            self.counters.replayed += 1
        except E4Error as error:
            if error.kind == EARLY:
                self._early.append(_Early(until or self._clock() + EARLY_KEPT_S, topic, payload))
            self._count(error, f"a message on {topic!r} was refused")
        else:
            self.counters.received += 1
            if not self._inbox.put(Received(topic, message)):
                self.counters.dropped += 1

    def _obey(self, payload: bytes) -> None:
        try:
            handled = self._client.command(payload, self._now())
        except E4Error as error:
            self._count(error, "a command was refused")
            return
        self.counters.commands[handled.outcome.name.lower()] += 1
        if handled.error and handled.outcome is not Outcome.ALREADY:
            self._count(handled.error, "a command was refused")
        for command in handled.commands:
            _LOG.info("applied %s", type(command).__name__)
        self._reports.put(handled)
        if self.synchronised:
            self._answered.set()
        if handled.commands:
            self._take_early()

    def _take_early(self) -> None:
        """What came before its key may be in order now."""
        for early in [self._early.popleft() for _ in range(len(self._early))]:
            if self._clock() < early.until:
                self._take(early.topic, early.payload, early.until)

    def _count(self, error: E4Error, what: str) -> None:
        self.counters.errors[error.kind] += 1
        level = logging.ERROR if isinstance(error, StorageError) else logging.INFO
        _LOG.log(level, "%s: %s (%s)", what, error, error.kind)

    async def _erase_expired(self) -> None:
        while True:
            pause, after_failure = ERASE_EVERY_S
            try:
                self._client.erase_expired(self._now())
            except E4Error as error:
                self._count(error, "expired keys were not erased")
                pause = after_failure
            await asyncio.sleep(pause)

    # --------------------------------------------------------------------------------------------------- tasks

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._inbox.close(error)

    def _stop(self) -> None:
        self._closed = True
        self._inbox.close()
        self._client.close()
