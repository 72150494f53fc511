# SPDX-License-Identifier: Apache-2.0
"""A transport as it is examined: opened from its URI at a real broker, over links that break when a check wants it."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from secrets import token_hex
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from e4conformance.credentials import named_in
from e4conformance.requirement import RUNNING, Book, NotExercised, Unmet, require, require_reasons
from e4conformance.transports.proxy import Proxy
from e4core import plugins
from e4core.errors import TransportError
from e4core.transport import Incoming, Transport

Load = Callable[[str, str], Transport]
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Link(Protocol):
    """The way between transports and their broker, in the hands of the kit."""

    @property
    def uri(self) -> str:
        """For transports that go this way."""
        ...

    def cut(self) -> None:
        """Break all connections, now; new ones are possible at once."""
        ...

    def hold(self) -> None:
        """From now on nothing passes, in no direction."""
        ...

    def release(self) -> None:
        """It passes again, what was held included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportHooks:
    """What the kit cannot find out or do by itself. A must whose hook is missing is not exercised, which is no pass.

    ``lacks``: capability -> the reason for which there is none, as ``{"link": "it is in this process"}``; what needs it is not
    applicable then. Capabilities: `CAPABILITIES`.
    """

    link: Callable[[], AbstractAsyncContextManager[Link]] | None = None
    """A link to break, where the URI does not name host and port, or TLS does not allow a proxy."""
    max_payload_len: int | None = None
    """The longest payload that this broker takes on a topic of up to 100 bytes, in bytes."""
    wrong_credentials_uri: Callable[[], str] | None = None
    """The URI with credentials that the broker refuses: what is said then must not show them."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    """What the kit cannot see, as {"broker": "mosquitto 2.0.18"}. It is published."""

    def __post_init__(self) -> None:
        """Raises: InvalidInput: ``lacks`` names no capability, or gives no reason."""
        require_reasons(self.lacks, CAPABILITIES)


CAPABILITIES = {
    "link": "links that can break",
    "sessions": "the broker keeps what is published for a client id that is away",
    "redelivery-order": "what the broker sends again to a reader comes before younger messages",
    "dollar-topics": "clients may publish to topics that begin with $",
    "limit": "the broker has told how long a message may be",
    "long-topics": "topics of up to 65,535 bytes",
}
"""All are expected, unless `TransportHooks.lacks` says why not. QoS is read from the transport, credentials from its URI."""


@dataclass(eq=False)
class TransportSubject:
    """``budget_s``: about how many seconds a check may publish for, where more messages prove more.

    ``patience_s``: after which a check that does not end has failed; no promise of speed is judged by it.
    """

    uri: str
    hooks: TransportHooks
    seed: int
    load: Load
    budget_s: float = 2.0
    patience_s: float = 30.0
    _drawn: Counter[str] = field(default_factory=Counter)

    @cached_property
    def declared(self) -> frozenset[str]:
        has = {*CAPABILITIES.keys() - self.hooks.lacks.keys(), *(f"qos-{qos}" for qos in range(1, self.max_qos + 1))}
        if self.credentials:
            has.add("credentials")
        has |= {f"{name} over links" for name in ("qos-1", "qos-2") if {name, "link"} <= has}
        return frozenset(has if "link" in has else has - {"redelivery-order"})

    @cached_property
    def lacks(self) -> dict[str, str]:
        """Why the rest is not declared."""
        link = {"redelivery-order": self.hooks.lacks.get("link", "")}
        qos = {f"qos-{qos}": f"its max_qos is {self.max_qos}" for qos in (1, 2)}
        over_links = {f"{name} over links": self.hooks.lacks.get("link", reason) for name, reason in qos.items()}
        found = {**link, **self.hooks.lacks, **qos, **over_links, "credentials": "the URI points to none"}
        return {name: reason for name, reason in found.items() if name not in self.declared}

    @cached_property
    def credentials(self) -> list[bytes]:
        """The secrets to which the URI points."""
        return named_in(self.uri)

    @cached_property
    def max_qos(self) -> int:
        """As an open connection tells it. Raises: TransportError: it does not come to be."""

        async def asked() -> int:
            async with asyncio.timeout(self.patience_s), self.connect() as transport:
                return transport.max_qos

        try:
            return asyncio.run(asked())
        except TimeoutError as error:
            raise TransportError(f"it did not connect, or not close, within {self.patience_s:g} s") from error

    @cached_property
    def about(self) -> dict[str, str]:
        kind = type(self.connect())
        owners = plugins.distributions(plugins.TRANSPORTS, self.uri.partition(":")[0])
        told = {"transport": f"{kind.__module__}.{kind.__qualname__}", "distribution": owners}
        return {**told, "max_qos": str(self.max_qos), **self.hooks.about}

    def connect(self, client_id: str = "", uri: str = "") -> Transport:
        """Not yet connected. Args: uri: default: that of the subject."""
        return self.load(uri or self.uri, client_id)

    def require_declared(self, name: str) -> None:
        """For what is not tried without, as it might wait for ever. Raises: NotExercised: no such capability."""
        if name not in self.declared:
            raise NotExercised(f"the capability {name!r} is not declared")

    def random(self) -> Random:
        """The same for each check in every run with this seed."""
        of = RUNNING.get()
        self._drawn[of] += 1
        return Random(f"{self.seed} {of} {self._drawn[of]}")  # noqa: S311  # chosen to be repeated

    def name(self, what: str) -> str:
        """A topic or client id that nobody else uses, and no earlier run did."""
        return f"e4-kit-{what}-{token_hex(6)}"

    @asynccontextmanager
    async def link(self, cut_after: int = 0) -> AsyncIterator[Link]:
        """A link of its own. Args: cut_after: bytes after which it breaks by itself; 0: never; not kept by a hook.

        Raises: NotExercised: there is no way to make one.
        """
        if self.hooks.link:
            async with self.hooks.link() as link:
                yield link
            return
        parts = urlsplit(self.uri)
        port = parts.port or _PORTS.get(parts.scheme)
        if not parts.hostname or not port or (parts.scheme == "mqtts" and parts.hostname not in _LOOPBACK):
            raise NotExercised(
                "the hook link is missing: the URI names no host and port before which a proxy can stand"
            )
        async with Proxy(port, cut_after, parts.hostname) as proxy:
            host = parts.hostname if parts.scheme == "mqtts" else "127.0.0.1"
            user, at, _ = parts.netloc.rpartition("@")
            uri = urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{proxy.port}"))
            yield _Proxied(uri, proxy)


@dataclass(frozen=True, slots=True)
class _Proxied:
    uri: str
    proxy: Proxy

    def cut(self) -> None:
        self.proxy.cut()

    def hold(self) -> None:
        self.proxy.hold()

    def release(self) -> None:
        self.proxy.release()


@contextmanager
def subject(
    uri: str, hooks: TransportHooks | None = None, seed: int = 0, *, load: Load = plugins.load_transport
) -> Iterator[TransportSubject]:
    """The transport at ``uri``, whose broker runs. Raises: PluginError; InvalidInput: the URI."""
    examined = TransportSubject(uri, hooks or TransportHooks(), seed, load)
    examined.connect()
    yield examined


TRANSPORTS = Book[TransportSubject]("transport")
PROTOCOL = "e4core.transport: "
"""Before the name of what says it, as the source of a requirement."""

Story = Callable[[TransportSubject], Awaitable[None]]


def told(story: Story) -> Callable[[TransportSubject], None]:
    """``story`` as a check: in an event loop of its own, and ended if it does not end. Raises: Unmet."""

    @functools.wraps(story)
    def check(subject: TransportSubject) -> None:
        _ = subject.max_qos  # asked once, in a loop of its own
        asyncio.run(_told(story, subject))

    return check


async def _told(story: Story, subject: TransportSubject) -> None:
    try:
        async with asyncio.timeout(subject.patience_s):
            await story(subject)
    except TimeoutError as error:
        limit = f"{subject.patience_s:g} s"
        raise Unmet(f"it came to no end within {limit}: something did not arrive, or was never answered") from error


async def receive(transport: Transport, count: int) -> list[Incoming]:
    """The next ``count`` messages."""
    arrivals = aiter(transport)
    return [await anext(arrivals) for _ in range(count)]


async def nothing_else(transport: Transport, through: Transport, topic: str) -> None:
    """Raises: Unmet: something is still to come before a last message that is published ``through`` another transport."""
    await through.publish(topic, b"last", 1)
    (arrived,) = await receive(transport, 1)
    require(arrived == (topic, b"last"), f"{_short(arrived)} arrived, which is one too many")


def _short(incoming: Incoming) -> str:
    return f"{bytes(incoming.payload[:40])!r} on {incoming.topic[:80]!r}"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # a property of a transport, not an event
        await asyncio.sleep(0.01)
