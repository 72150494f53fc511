# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 5 over TCP and TLS: ``mqtt://...`` and ``mqtts://...``; the URI and its options are those of `BrokerAddress`.

With a client id the broker keeps the session for 7 days (3.1.1: as long as it likes). Without one, MQTT 5 keeps it for a few
minutes after a lost link and ends it on closing; 3.1.1 keeps none, so that a message may arrive twice, or be missed, across a
lost link. An arriving message is acknowledged when it is received, not when it is read. Nothing is retained but
by `publish_retained`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from e4core.errors import InvalidInput, TransportError
from e4core.transport import Incoming
from e4transports.address import BrokerAddress
from e4transports.link import Link
from e4transports.topics import check_filter, check_topic


def open_transport(uri: str, client_id: str, /) -> MqttTransport:
    """The transport at an ``mqtt://`` or ``mqtts://`` URI, not yet connected. Raises: InvalidInput: the URI."""
    return MqttTransport(BrokerAddress.parse(uri), client_id)


class MqttTransport:
    """A connection to one broker; see `e4core.transport.Transport`."""

    def __init__(self, address: BrokerAddress, client_id: str) -> None:
        self._address = address
        self._client_id = client_id
        self._link: Link | None = None

    @property
    def max_qos(self) -> int:
        """What the URI allows; once connected, also what the broker does."""
        return self._link.max_qos if self._link else self._address.max_qos

    @property
    def connected(self) -> bool:
        return self._link is not None and self._link.up

    @property
    def connections(self) -> int:
        return self._link.connections if self._link else 0

    async def __aenter__(self) -> Self:
        """Connect. Raises: TransportError: refused, or not in time; StorageError: password, CA, certificate or key."""
        link = Link(self._address, self._client_id)
        try:
            await link.open()
        except BaseException:
            await link.close()
            raise
        self._link = link
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        link, self._link = self._require_link(), None
        await link.close()

    def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> asyncio.Future[None]:
        """Hand over; done when the broker has acknowledged.

        At QoS 2 paho does not tell a refusal (a reason code in PUBREC) from success; at QoS 1 it does.
        Raises: InvalidInput: topic, or QoS; TransportError: not open. The future, TransportError: closed meanwhile, refused, or too
        long for the broker.
        """
        return self._hand_over(topic, payload, qos)

    def publish_retained(self, topic: str, payload: bytes, /) -> asyncio.Future[None]:
        """As `publish` at QoS 1; the broker keeps it for who subscribes later, until the next one on this topic."""
        return self._hand_over(topic, payload, 1, retain=True)

    async def subscribe(self, topic: str, /) -> None:
        """Raises: InvalidInput: the topic; TransportError: not open, closed meanwhile, or refused."""
        check_filter(topic)
        link = self._require_link()
        link.departures.forget(topic)
        await link.subscriptions.ask(topic)

    async def unsubscribe(self, topic: str, /) -> None:
        """Raises: as `subscribe`."""
        check_filter(topic)
        link = self._require_link()
        link.subscriptions.forget(topic)
        await link.departures.ask(topic)

    def __aiter__(self) -> AsyncIterator[Incoming]:
        return self._require_link().inbox

    def _hand_over(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> asyncio.Future[None]:
        link = self._require_link()
        check_topic(topic)
        if qos not in (0, 1, 2):
            raise InvalidInput("a QoS is 0, 1 or 2")
        return link.publish(topic, payload, min(qos, link.max_qos), retain)

    def _require_link(self) -> Link:
        if self._link is None:
            raise TransportError("the transport is not open; use it inside `async with`")
        return self._link
