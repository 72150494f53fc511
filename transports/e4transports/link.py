# SPDX-License-Identifier: Apache-2.0
"""One open MQTT connection: between paho's thread and the event loop.

paho-mqtt runs the protocol in a thread of its own, connects again after a loss, and sends again what was on its way. What waits and
what is on its way is shared, under one lock, so that paho's thread fills the window itself: a detour through the event loop would
cost a round trip of threads for every few messages. paho calls back with its own locks held, so ours is never taken in a callback,
only in `_round`. `up` and the window's size are read there as they are, each a single value; a message too many or too few does no
harm, as paho keeps what it cannot send. All other state lives in the event loop: the callbacks leave an event on the `Ferry`,
which carries them over in order, many with one wake-up. At most 20 messages are in paho's hands; the rest wait here, so that a new
connection begins with those, in order, and not with a flood (paho would send all it has at once, beyond what an MQTT 5 broker has
said it receives).
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from e4core.errors import TransportError
from e4core.inbox import Inbox
from e4core.transport import Incoming
from e4transports.address import BrokerAddress
from e4transports.client import INFLIGHT, PahoClient, failure, refusal
from e4transports.ferry import Ferry
from e4transports.requests import Requests, settle

_LOG = logging.getLogger(__name__)
_CLOSE_S = 2.0
_MAX_PACKET_LEN = 268_435_455
_HEADER_LEN = 16
"""Upper bound of what a PUBLISH holds besides topic and payload, in bytes."""
_PACKET_ID_NOT_FOUND = 0x92


class Link:
    """Made inside the event loop that uses it.

    Attributes: up: the broker has accepted the connection and it is not lost. connections: how many it has accepted so far.
    max_qos: as the URI and the broker allow. max_packet_len: longest packet that the broker takes, in bytes.
    """

    def __init__(self, address: BrokerAddress, client_id: str) -> None:
        """Raises: StorageError: password, CA, certificate or key cannot be read."""
        self.up = False
        self.connections = 0
        self.max_qos = address.max_qos
        self.max_packet_len = _MAX_PACKET_LEN
        self.inbox = Inbox[Incoming]()
        self.subscriptions = Requests(self._subscribe, lasting=True)
        self.departures = Requests(self._unsubscribe, lasting=False)
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed = False
        self._troubles: set[str] = set()
        self._window = INFLIGHT
        self._queue: deque[_Outgoing] = deque()
        self._leaving = False
        self._on_the_way: dict[int, _Outgoing] = {}
        self._shared = threading.Lock()
        self._answers: list[tuple[int, str]] = []
        self._ferry = Ferry(self._loop)
        self._client = self._wired(PahoClient(address, client_id))

    async def open(self) -> None:
        """Raises: TransportError: refused, or not within the time allowed."""
        self._client.start()
        try:
            async with asyncio.timeout(self._address.timeout_s):
                await self._opened
        except TimeoutError as error:
            raise failure(self._address, error) from None

    async def close(self) -> None:
        """Fail what is outstanding, say goodbye, and wait for the thread to end."""
        self._closed, self.up = True, False
        self._fail_all(TransportError("the transport was closed before the broker acknowledged"))
        try:
            self._client.say_goodbye()
            stopped = self._loop.run_in_executor(None, self._client.loop_stop)
            if (await asyncio.wait({stopped}, timeout=_CLOSE_S))[1]:
                with suppress(OSError):
                    self._client.cut()
                await stopped
            self._client.release()
        finally:
            self.inbox.close()

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> asyncio.Future[None]:
        """Done when the broker has acknowledged, or for QoS 0 when the socket has it; cancelled before it left, it never does."""
        done: asyncio.Future[None] = self._loop.create_future()
        if len(payload) + 3 * len(topic) + _HEADER_LEN > self.max_packet_len:
            too_long = f"a message of {len(payload)} bytes is too long; this broker takes {self.max_packet_len}"
            done.set_exception(TransportError(too_long))
            return done
        self._queue.append(_Outgoing(topic, payload, qos, done, retain))
        if not self._leaving:
            self._leaving = True
            self._loop.call_soon(self._leave)
        return done

    def _leave(self) -> None:
        """Once for all that is published in one go: paho's thread, when it wakes, competes with ours."""
        self._leaving = False
        with self._shared:
            self._send_next()

    def _send_next(self) -> None:
        while self._queue and self.up and len(self._on_the_way) < self._window:
            message = self._queue.popleft()
            if message.done.done():
                continue
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain)
            if info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN and not message.qos:
                # lost just now; paho keeps messages of QoS 1 and 2 for the next connection, but not these
                self._queue.appendleft(message)
                return
            if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
                # this packet identifier is still in use; the next one will do
                self._queue.appendleft(message)
                continue
            self._on_the_way[info.mid] = message

    # Events, in the event loop

    def _accepted(self, limits: Properties | None) -> None:
        if self._closed:
            return
        self.max_qos = min(self._address.max_qos, getattr(limits, "MaximumQoS", 2))
        self.max_packet_len = getattr(limits, "MaximumPacketSize", _MAX_PACKET_LEN)
        self._window = min(INFLIGHT, getattr(limits, "ReceiveMaximum", INFLIGHT))
        self.connections += 1
        with self._shared:
            self.up = True
            self._send_next()
        settle(self._opened, None)
        if self._troubles:
            self._troubles.clear()
            _LOG.warning("connected to the MQTT broker at %s again", self._address)

    def _lost(self, error: TransportError) -> None:
        self.up = False
        with self._shared:
            unanswered = [packet_id for packet_id, message in self._on_the_way.items() if not message.qos]
            gone = [self._on_the_way.pop(packet_id) for packet_id in unanswered]
        for message in gone:
            settle(message.done, None)
        self._warn(f"the link to the MQTT broker at {self._address} was lost; connecting again")
        settle(self._opened, error)

    def _refused(self, error: TransportError) -> None:
        self._warn(f"{error}; trying again")
        settle(self._opened, error)

    def _warn(self, trouble: str) -> None:
        """Say what is wrong once in an outage; who waits for `open` hears of it there, and a stop on purpose is none."""
        if self._opened.done() and not self._closed and trouble not in self._troubles:
            self._troubles.add(trouble)
            _LOG.warning("%s", trouble)

    def _fail_all(self, error: TransportError) -> None:
        with self._shared:
            unanswered = (*self._on_the_way.values(), *self._queue)
            self._on_the_way.clear()
            self._queue.clear()
        for message in unanswered:
            settle(message.done, error)
        self.subscriptions.fail(error)
        self.departures.fail(error)

    # Callbacks, in paho's thread

    def _wired(self, client: PahoClient) -> PahoClient:
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_broken = self._on_broken
        client.on_round = self._round
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_subscribe = self._on_answer(self.subscriptions)
        client.on_unsubscribe = self._on_answer(self.departures)
        return client

    def _on_connect(
        self, client: Client, data: object, flags: ConnectFlags, reason: ReasonCode, limits: Properties | None
    ) -> None:
        if reason.is_failure:
            self._ferry.load(self._refused, refusal(self._address, reason))
            return
        # before paho sends again what was on its way, lest we miss our own messages
        self.departures.again()
        self.subscriptions.again()
        self._ferry.load(self._accepted, limits)

    def _on_connect_fail(self, client: Client, data: object) -> None:
        self._ferry.load(self._refused, failure(self._address, sys.exc_info()[1]))
        self._ferry.leave()

    def _on_disconnect(
        self, client: Client, data: object, flags: DisconnectFlags, reason: ReasonCode, details: Properties | None
    ) -> None:
        # at once: what is published from now on waits for its turn behind what paho will send again
        self.up = False
        self._ferry.load(self._lost, failure(self._address, None))
        self._ferry.leave()

    def _on_broken(self, error: Exception) -> None:
        self.up = False
        self._ferry.load(self._lost, failure(self._address, error))
        self._ferry.leave()

    def _on_publish(
        self, client: Client, data: object, packet_id: int, reason: ReasonCode, details: Properties | None
    ) -> None:
        # an unknown identifier is the normal answer to a PUBREL that is sent again (MQTT 5.0, section 4.3.3)
        refused = reason.value >= 0x80 and reason.value != _PACKET_ID_NOT_FOUND
        self._answers.append((packet_id, str(reason) if refused else ""))

    def _round(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            with self._shared:
                answered = [(self._on_the_way.pop(packet_id, None), refused) for packet_id, refused in answers]
                self._send_next()
                idle = not self._on_the_way
            for message, refused in answered:
                if message:
                    error = TransportError(f"the broker refused a message: {refused}") if refused else None
                    self._ferry.load(settle, message.done, error, hurry=idle)
        self._ferry.leave()

    def _on_message(self, client: Client, data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            _LOG.warning("dropped a message from %s: its topic is not UTF-8", self._address)
            return
        self._ferry.load(self.inbox.put, Incoming(topic, bytes(message.payload)))

    def _on_answer(self, requests: Requests) -> Callable[[Client, Any, int, list[ReasonCode], Properties | None], None]:
        def answered(
            client: Client, data: object, packet_id: int, reasons: list[ReasonCode], details: Properties | None
        ) -> None:
            self._ferry.load(requests.answered, packet_id, reasons)

        return answered

    # Both

    def _subscribe(self, topics: list[str]) -> int | None:
        qos = self.max_qos
        if self._address.version == "5":
            options = SubscribeOptions(qos=qos, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            return self._client.subscribe([(topic, options) for topic in topics])[1]
        return self._client.subscribe([(topic, qos) for topic in topics])[1]

    def _unsubscribe(self, topics: list[str]) -> int | None:
        return self._client.unsubscribe(topics)[1]


class _Outgoing(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    done: asyncio.Future[None]
    retain: bool
