# SPDX-License-Identifier: Apache-2.0
"""A broker inside the process: ``memory:NAME``, for tests, demonstrations and programs that need no other.

It keeps MQTT's promises (order, wildcards, sessions, exactly once), and nothing after the process ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

from e4core.errors import InvalidInput, TransportError
from e4core.inbox import Inbox
from e4core.transport import Incoming
from e4transports.topics import check_filter, check_topic, matches

Tap = Callable[[Incoming], object]


def open_transport(uri: str, client_id: str, /) -> MemoryTransport:
    """The transport at ``memory:NAME``. Raises: InvalidInput: there is no name."""
    scheme, _, name = uri.partition(":")
    if scheme != "memory" or not name:
        raise InvalidInput("a broker in memory is named as in memory:NAME", kind="bad_uri")
    return named(name).connect(client_id)


def named(name: str) -> MemoryBroker:
    """The broker that all ``memory:NAME`` URIs of this process share; made when first asked for."""
    return _NAMED.setdefault(name, MemoryBroker())


class MemoryBroker:
    """One event loop's broker.

    A session with a client id keeps its subscriptions, and queues what is published at QoS 1 and 2 while it is away. What was
    delivered to a connection and not read before it closed is gone, as with a real broker.

    Attributes: taps: each is called with everything that is published, before it is delivered.
    """

    def __init__(self) -> None:
        self.taps: list[Tap] = []
        self._sessions: dict[str, _Session] = {}
        self._subscribers: dict[str, dict[_Session, None]] = {}
        self._wildcards: dict[str, dict[_Session, None]] = {}

    def connect(self, client_id: str = "") -> MemoryTransport:
        """A transport to this broker, not yet connected; an empty ``client_id`` keeps no session."""
        return MemoryTransport(self, client_id)

    def publish(self, topic: str, payload: bytes, qos: int = 2) -> None:
        """Deliver, or queue for those who are away. Raises: InvalidInput: the topic."""
        check_topic(topic)
        incoming = Incoming(topic, bytes(payload))
        for tap in self.taps:
            tap(incoming)
        receivers = dict(self._subscribers.get(topic, ()))
        for topic_filter, sessions in self._wildcards.items():
            if matches(topic_filter, topic):
                receivers.update(sessions)
        for session in receivers:
            session.deliver(incoming, qos)

    def _attach(self, client_id: str, inbox: Inbox[Incoming]) -> _Session:
        session = self._sessions.setdefault(client_id, _Session(client_id)) if client_id else _Session("")
        session.attach(inbox)
        return session

    def _detach(self, session: _Session, inbox: Inbox[Incoming]) -> None:
        inbox.close()
        if not session.detach(inbox):
            return
        if not session.client_id:
            for topic in list(session.topics):
                self._unsubscribe(session, topic)

    def _subscribe(self, session: _Session, topic: str) -> None:
        session.topics.add(topic)
        self._table(topic).setdefault(topic, {})[session] = None

    def _unsubscribe(self, session: _Session, topic: str) -> None:
        session.topics.discard(topic)
        table = self._table(topic)
        if sessions := table.get(topic):
            sessions.pop(session, None)
            if not sessions:
                del table[topic]

    def _table(self, topic: str) -> dict[str, dict[_Session, None]]:
        return self._wildcards if "+" in topic or "#" in topic else self._subscribers


_NAMED: dict[str, MemoryBroker] = {}


class _Session:
    """What the broker remembers of one client id."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.topics: set[str] = set()
        self._waiting: deque[Incoming] = deque()
        self._inbox: Inbox[Incoming] | None = None

    def attach(self, inbox: Inbox[Incoming]) -> None:
        """Begin to deliver there; an older connection of the same session is closed (MQTT 5.0, section 3.1.4)."""
        if self._inbox:
            self._inbox.close()
        self._inbox = inbox
        while self._waiting:
            inbox.put(self._waiting.popleft())

    def detach(self, inbox: Inbox[Incoming]) -> bool:
        """Whether it was that connection which the session still used."""
        mine = self._inbox is inbox
        if mine:
            self._inbox = None
        return mine

    def uses(self, inbox: Inbox[Incoming]) -> bool:
        return self._inbox is inbox

    def deliver(self, incoming: Incoming, qos: int) -> None:
        if self._inbox:
            self._inbox.put(incoming)
        elif qos:
            self._waiting.append(incoming)


class MemoryTransport:
    """A connection to a `MemoryBroker`; see `e4core.transport.Transport`."""

    def __init__(self, broker: MemoryBroker, client_id: str) -> None:
        self._broker = broker
        self._client_id = client_id
        self._inbox = Inbox[Incoming]()
        self._session = _Session("")
        self._connections = 0

    @property
    def max_qos(self) -> int:
        return 2

    @property
    def connected(self) -> bool:
        return self._session.uses(self._inbox)

    @property
    def connections(self) -> int:
        return self._connections

    async def __aenter__(self) -> Self:
        self._connections = 1
        self._inbox = Inbox[Incoming]()
        self._session = self._broker._attach(self._client_id, self._inbox)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self._broker._detach(self._session, self._inbox)

    async def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> None:
        """Hand over. Raises: InvalidInput: the topic; TransportError: not connected."""
        self._require_connected()
        self._broker.publish(topic, payload, qos)
        # a loop that only publishes must let those who read have their turn
        await asyncio.sleep(0)

    async def subscribe(self, topic: str, /) -> None:
        check_filter(topic)
        self._require_connected()
        self._broker._subscribe(self._session, topic)

    async def unsubscribe(self, topic: str, /) -> None:
        check_filter(topic)
        self._require_connected()
        self._broker._unsubscribe(self._session, topic)

    def __aiter__(self) -> AsyncIterator[Incoming]:
        return self._inbox

    def _require_connected(self) -> None:
        if not self.connected:
            raise TransportError("this connection to the broker in memory is closed; open a new one")
