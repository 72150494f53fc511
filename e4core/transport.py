# SPDX-License-Identifier: Apache-2.0
"""The way of bytes to a broker and back: the protocol of a transport.

A transport is a plugin of the group ``e4.transports``, named by its URI scheme; its entry point is a `TransportFactory`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable


class Incoming(NamedTuple):
    topic: str
    payload: bytes


@runtime_checkable
class Transport(Protocol):
    """One connection, used inside ``async with`` by one event loop.

    It connects again by itself after a loss, subscribes again, and sends again what the broker has not acknowledged, in order.
    Nothing is retained at the broker, but by `Retains`.
    """

    @property
    def max_qos(self) -> int:
        """Highest delivery promise kept here: 0 at most once, 1 at least once, 2 exactly once."""
        ...

    @property
    def connected(self) -> bool: ...

    @property
    def connections(self) -> int:
        """How often the broker has accepted a connection since ``__aenter__`` began; it tells of outages too short to be seen."""
        ...

    async def __aenter__(self) -> Self:
        """Connect. Raises: TransportError: not within the time allowed, or refused."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> Awaitable[None]:
        """Hand over; done when the broker has acknowledged at ``min(qos, max_qos)``, which waits while the link is down.

        What overlaps leaves in the order of the calls, or for an ``async def``, as which this may be written, in the order in
        which they began to run. Raises: TransportError: closed meanwhile, or refused.
        """
        ...

    async def subscribe(self, topic: str, /) -> None:
        """Receive ``topic`` (the wildcards ``+`` and ``#`` may be used), now and after each new connection."""
        ...

    async def unsubscribe(self, topic: str, /) -> None: ...

    def __aiter__(self) -> AsyncIterator[Incoming]:
        """What arrives, in order; ends when the transport is closed."""
        ...


@runtime_checkable
class Retains(Protocol):
    """A transport whose broker keeps the last message of a topic, if asked, for those who subscribe later."""

    def publish_retained(self, topic: str, payload: bytes, /) -> Awaitable[None]:
        """As `Transport.publish` at QoS 1. Raises: TransportError: closed meanwhile, or refused."""
        ...


class TransportFactory(Protocol):
    def __call__(self, uri: str, client_id: str, /) -> Transport:
        """Not yet connected. ``client_id`` names the session that the broker keeps; empty: none is kept.

        Raises: InvalidInput: the URI.
        """
        ...
