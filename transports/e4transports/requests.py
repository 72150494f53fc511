# SPDX-License-Identifier: Apache-2.0
"""Subscribing and unsubscribing: what the broker was asked for, until it has answered, and again after each new connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from paho.mqtt.reasoncodes import ReasonCode

from e4core.errors import TransportError

_LOG = logging.getLogger(__name__)

Send = Callable[[list[str]], int | None]
"""Sends one packet for all these topics; gives its packet identifier, or None while the link is down."""


class Requests:
    """The topics of one kind of request, subscribe or unsubscribe.

    `again` may run in another thread than the rest: it only copies ``topics`` and replaces whole entries.
    """

    def __init__(self, send: Send, *, lasting: bool) -> None:
        """Args: lasting: topics stay after the broker has agreed, to be asked for again on the next connection."""
        self.topics: dict[str, None] = {}
        self._send = send
        self._lasting = lasting
        self._asked: dict[int, list[str]] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def ask(self, topic: str) -> asyncio.Future[None]:
        """Done when the broker has agreed; fails with TransportError if it refuses."""
        answer = asyncio.get_running_loop().create_future()
        self.topics[topic] = None
        self._waiting.setdefault(topic, []).append(answer)
        self._ask([topic])
        return answer

    def again(self) -> None:
        """Ask a new connection for everything."""
        self._asked.clear()
        if topics := list(self.topics):
            self._ask(topics)

    def forget(self, topic: str) -> None:
        """No longer ask for it; who still waits is content."""
        self.topics.pop(topic, None)
        self._settle(topic, None)

    def answered(self, packet_id: int, reasons: Sequence[ReasonCode]) -> None:
        """Take the broker's answer; it has no reasons when it cannot refuse (MQTT 3.1.1, section 3.11).

        What was agreed on before and is refused on a new connection is asked for again on the next: an access list that is wrong
        for a moment must not make anybody deaf for good.
        """
        for number, topic in enumerate(self._asked.pop(packet_id, ())):
            refused = number < len(reasons) and reasons[number].is_failure
            error = TransportError(f"the broker refused {topic!r}: {reasons[number]}") if refused else None
            awaited = any(not answer.done() for answer in self._waiting.get(topic, ()))
            if not self._lasting or (refused and awaited):
                self.topics.pop(topic, None)
            elif refused and topic in self.topics:
                _LOG.warning("%s; asking again on the next connection", error)
            self._settle(topic, error)

    def fail(self, error: TransportError) -> None:
        for topic in list(self._waiting):
            self._settle(topic, error)

    def _ask(self, topics: list[str]) -> None:
        packet_id = self._send(topics)
        if packet_id is not None:
            self._asked[packet_id] = topics

    def _settle(self, topic: str, error: TransportError | None) -> None:
        for answer in self._waiting.pop(topic, ()):
            settle(answer, error)


def settle(answer: asyncio.Future[None], error: TransportError | None) -> None:
    """End the wait for ``answer``, unless who waited has given up."""
    if answer.done():
        return
    if error:
        answer.set_exception(error)
    else:
        answer.set_result(None)
