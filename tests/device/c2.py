# SPDX-License-Identifier: Apache-2.0
"""The least that a C2 can be: it enrols devices, seals commands and opens reports, straight from the parts of a suite."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from e4core import report
from e4core.command import Command, SetPubKey, SetTopicKey, encode
from e4core.errors import E4Error
from e4core.keys import ClientId, Secret, TopicHash, TopicKey, control_topic, report_topic
from e4core.report import Ack, Hello, Report
from e4core.state import State, new_state
from e4core.suite import Channel, Suite
from e4core.transport import Transport

BACKDATE_S = 5
R = TypeVar("R", Hello, Ack)


@dataclass(frozen=True)
class Enrolled:
    """A device as the C2 knows it."""

    suite: Suite
    name: str
    state: State
    channel: Channel

    @property
    def client_id(self) -> ClientId:
        return self.state.client_id

    @property
    def control_topic(self) -> str:
        return control_topic(self.client_id)

    @property
    def report_topic(self) -> str:
        return report_topic(self.client_id)

    @property
    def public(self) -> bytes:
        return self.suite.device.public(self.suite.device.load(self.state.private))

    def seal(self, command: Command, now: float) -> bytes:
        """Timestamp (8) | AEAD output; wire.md sections 5 and 6.2."""
        header = (int(now) - BACKDATE_S).to_bytes(8, "little")
        return header + self.channel.command_key.seal(b"", encode(command), header)

    def open(self, data: bytes) -> Report:
        return report.open_report(self.suite, self.channel, self.client_id, data)

    def digest(self, keys: dict[str, TopicKey], peers: dict[ClientId, bytes]) -> bytes:
        marks = {self.suite.derive_id(topic): report.fingerprint(self.suite, key) for topic, key in keys.items()}
        return report.digest(self.suite, marks, {bytes(peer): public for peer, public in peers.items()})


class TinyC2:
    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self._private = suite.c2.load(suite.c2.generate())
        self.public = suite.c2.public(self._private)

    def enrol(self, name: str) -> Enrolled:
        private = Secret(self.suite.device.generate())
        state = new_state(self.suite, ClientId(self.suite.derive_id(name)), private, self.public)
        public = self.suite.device.public(self.suite.device.load(private))
        return Enrolled(self.suite, name, state, self.suite.control.at_c2(self._private, public))

    def topic_key(self, topic: str, key: TopicKey) -> SetTopicKey:
        return SetTopicKey(key, TopicHash(self.suite.derive_id(topic)))

    def introduce(self, device: Enrolled) -> SetPubKey:
        return SetPubKey(device.public, device.client_id)


def new_key() -> TopicKey:
    return TopicKey(os.urandom(32))


async def next_report(device: Enrolled, transport: Transport) -> Report:
    """The next report of ``device`` that arrives at the C2's transport; what does not open is passed over."""
    async for incoming in transport:
        if incoming.topic == device.report_topic:
            with suppress(E4Error):
                return device.open(incoming.payload)
    raise AssertionError("the transport was closed")


async def next_of(kind: type[R], device: Enrolled, transport: Transport) -> R:
    while True:
        got = await next_report(device, transport)
        if isinstance(got, kind):
            return got
