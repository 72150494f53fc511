# SPDX-License-Identifier: Apache-2.0
"""Devices stepped by a test: `Ours` are of this project and report, a `Witness` behaves like e4go and never does."""

from __future__ import annotations

from collections import deque

from e4core.client import Client, Handled
from e4core.errors import E4Error
from e4core.keys import ClientId, Secret
from e4core.state import State, new_state
from e4core.suite import Suite
from tests.interop import e4go_like as e4go
from tests.interop.e4go_crypto import E4goError


class Device:
    """What both kinds of device share. ``away``: what is published meanwhile is lost."""

    def __init__(self, name: str, client_id: ClientId, private: Secret) -> None:
        self.name, self.id, self.private = name, client_id, private
        self.inbox: deque[bytes] = deque()
        self.away = False

    def take(self, payload: bytes, now: float) -> bytes | None:
        """Obey one command; the report to send, if any."""
        raise NotImplementedError

    def write(self, topic: str, now: float, payload: bytes = b"fresh") -> bytes:
        raise NotImplementedError

    def read(self, topic: str, data: bytes, now: float) -> bytes | None:
        """The payload; None: refused."""
        raise NotImplementedError


class Ours(Device):
    """Attributes: handled: what became of the commands, in order. state: what was saved last."""

    def __init__(self, suite: Suite, name: str, client_id: ClientId, private: Secret, c2_public: bytes) -> None:
        super().__init__(name, client_id, private)
        self.suite = suite
        self.handled: list[Handled] = []
        self.state: State
        self.start(new_state(suite, client_id, private, c2_public))

    def start(self, state: State) -> None:
        self.client = Client(self.suite, state, self._save)

    def take(self, payload: bytes, now: float) -> bytes | None:
        try:
            handled = self.client.command(payload, now)
        except E4Error:
            return None
        self.handled.append(handled)
        return handled.report

    def write(self, topic: str, now: float, payload: bytes = b"fresh") -> bytes:
        return self.client.protect(payload, topic, now)

    def read(self, topic: str, data: bytes, now: float) -> bytes | None:
        try:
            return self.client.unprotect(data, topic, now).payload
        except E4Error:
            return None

    def thief(self) -> Ours:
        """A copy that goes on with the keys held now, and hears of nothing any more."""
        copy = Ours(self.suite, self.name, self.id, self.client.state.private, self.client.state.c2_public)
        copy.start(self.client.state)
        return copy

    def _save(self, state: State) -> None:
        self.state = state


class Witness(Device):
    def __init__(self, suite: Suite, name: str, client_id: ClientId, private: Secret, c2_public: bytes) -> None:
        super().__init__(name, client_id, private)
        if suite.is_symmetric:
            self.client = e4go.Client.new_sk(bytes(client_id), bytes(private))
        else:
            self.client = e4go.Client.new_pk(bytes(client_id), bytes(private), c2_public)

    def take(self, payload: bytes, now: float) -> bytes | None:
        self.read(self.client.receiving_topic, payload, now)
        return None

    def write(self, topic: str, now: float, payload: bytes = b"fresh") -> bytes:
        return self.client.protect(payload, topic, now)

    def read(self, topic: str, data: bytes, now: float) -> bytes | None:
        try:
            return self.client.unprotect(data, topic, now)
        except E4goError:
            return None
