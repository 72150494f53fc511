# SPDX-License-Identifier: Apache-2.0
"""Devices stepped by a test: `Ours` are of this project and report, a `Witness` behaves like e4go and never does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any

from e4core import ready2
from e4core.client import Client
from e4core.errors import E4Error
from e4core.formats import new_client, new_state
from e4core.keys import ClientId, Secret
from e4core.suite import Channel, Suite
from tests.interop import e4go_like as e4go
from tests.interop.e4go_crypto import E4goError


class Device:
    """What both kinds of device share. ``away``: what is published meanwhile is lost."""

    def __init__(self, name: str, client_id: ClientId, private: Secret) -> None:
        self.name, self.id, self.private = name, client_id, private
        self.inbox: deque[bytes] = deque()
        self.away = False

    def take(self, payload: bytes, now: float) -> Sequence[bytes]:
        """Obey one command; the reports to send."""
        raise NotImplementedError

    def key(self, topic: str) -> bytes | None:
        """The newest key that it holds of a topic."""
        raise NotImplementedError

    def write(self, topic: str, now: float, payload: bytes = b"fresh") -> bytes:
        raise NotImplementedError

    def read(self, topic: str, data: bytes, now: float) -> bytes | None:
        """The payload; None: refused."""
        raise NotImplementedError

    def again(self) -> Device:
        """Another one of the same name, as this is after a start from what it has saved."""
        raise NotImplementedError


class Ours(Device):
    """Attributes: handled: what became of the commands, in order. state: what was saved last."""

    def __init__(self, suite: Suite, name: str, client_id: ClientId, private: Secret, c2_public: bytes) -> None:
        super().__init__(name, client_id, private)
        self.suite = suite
        self.handled: list[Any] = []
        self.state: Any
        self.client: Any
        self.start(new_state(suite, client_id, private, c2_public))

    def start(self, state: Any) -> None:
        self.client = new_client(self.suite, state, self._save)

    def take(self, payload: bytes, now: float) -> Sequence[bytes]:
        try:
            handled = self.client.command(payload, now)
        except E4Error:
            return ()
        self.handled.append(handled)
        return tuple(handled.reports)

    def hello(self, now: float) -> bytes:
        hello: bytes = self.client.hello(now)
        return hello

    def digest(self) -> bytes:
        """Of what it holds."""
        client = self.client
        return bytes(client._digest() if isinstance(client, Client) else ready2.digest(self.suite, client.state))

    def channel(self) -> Channel:
        """Under which it reports."""
        channel: Channel = self.client._channel if self.suite.format == 1 else self.client._ready.control.reports
        return channel

    def key(self, topic: str) -> bytes | None:
        held = self.client.state.topics.get(self.suite.derive_topic(topic))
        return None if held is None else (held if self.suite.format == 1 else held[-1]).key

    def write(self, topic: str, now: float, payload: bytes = b"fresh") -> bytes:
        return bytes(self.client.protect(payload, topic, now))

    def read(self, topic: str, data: bytes, now: float) -> bytes | None:
        try:
            payload: bytes = self.client.unprotect(data, topic, now).payload
        except E4Error:
            return None
        return payload

    def again(self) -> Ours:
        other = Ours(self.suite, self.name, self.id, self.client.state.private, self.client.state.c2_public)
        other.start(self.client.state)
        return other

    def thief(self) -> Ours:
        """One that goes on with the keys held now, and hears of nothing any more."""
        return self.again()

    def _save(self, state: Any) -> None:
        self.state = state


class Witness(Device):
    def __init__(self, suite: Suite, name: str, client_id: ClientId, private: Secret, c2_public: bytes) -> None:
        super().__init__(name, client_id, private)
        self.suite = suite
        if suite.is_symmetric:
            self.client = e4go.Client.new_sk(bytes(client_id), bytes(private))
        else:
            self.client = e4go.Client.new_pk(bytes(client_id), bytes(private), c2_public)

    def take(self, payload: bytes, now: float) -> Sequence[bytes]:
        self.read(self.client.receiving_topic, payload, now)
        return ()

    def key(self, topic: str) -> bytes | None:
        held = self.client.topic_keys.get(self.suite.derive_id(topic).hex())
        return None if held is None else bytes(held)

    def write(self, topic: str, now: float, payload: bytes = b"fresh") -> bytes:
        return self.client.protect(payload, topic, now)

    def read(self, topic: str, data: bytes, now: float) -> bytes | None:
        try:
            return self.client.unprotect(data, topic, now)
        except E4goError:
            return None

    def again(self) -> Witness:
        other = copy(self)
        other.inbox, other.client = deque(), deepcopy(self.client)
        return other
