# SPDX-License-Identifier: Apache-2.0
"""Many devices of this project behind one connection to the broker, with a session that the broker keeps."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e4core.client import Client
from e4core.command import SetTopicKey
from e4core.errors import E4Error
from e4core.keys import ClientId, Secret, TopicHash, TopicKey, control_topic, report_topic
from e4core.state import State, new_state
from e4core.suite import Suite
from e4core.transport import Transport
from e4transports.mqtt import open_transport
from tests.interop.c2 import beside

ALL_CONTROL_TOPICS = "e4/+"
REPORT_QOS = 2


class Member:
    """One device; one that does not report obeys all the same.

    Attributes: given: every topic key that it ever got, oldest first.
    """

    def __init__(self, client: Client, reports: bool) -> None:
        self.client = client
        self.reports = reports
        self.given: list[TopicKey] = []

    @property
    def id(self) -> str:
        return self.client.state.client_id.hex()

    def key(self, topic: bytes) -> TopicKey | None:
        """The key that it protects with."""
        held = self.client.state.topics.get(TopicHash(topic))
        return held.key if held else None


class Fleet:
    """The devices and what they do with what arrives.

    Attributes: outcomes: of all commands; errors by their kind.  members: by control topic.
    """

    def __init__(self, suite: Suite, transport: Transport) -> None:
        self.outcomes: Counter[str] = Counter()
        self.members: dict[str, Member] = {}
        self._suite = suite
        self._transport = transport
        self._reporting: set[asyncio.Task[None]] = set()

    def add(self, name: str, private: bytes, reports: bool) -> Member:
        state = new_state(self._suite, ClientId(self._suite.derive_id(name)), Secret(private))
        member = Member(Client(self._suite, state, _forget), reports)
        self.members[control_topic(state.client_id)] = member
        return member

    def say_hello(self) -> None:
        for member in self.members.values():
            if member.reports:
                self._report(member, member.client.hello())

    async def run(self) -> None:
        async for topic, payload in self._transport:
            self._obey(self.members[topic], payload)

    def _obey(self, member: Member, payload: bytes) -> None:
        try:
            handled = member.client.command(payload, time.time())
        except E4Error as error:
            self.outcomes[error.kind] += 1
            return
        self.outcomes[handled.outcome.name.lower()] += 1
        for command in handled.commands:
            if isinstance(command, SetTopicKey):
                member.given.append(command.key)
        if member.reports and handled.report:
            self._report(member, handled.report)

    def _report(self, member: Member, report: bytes) -> None:
        topic = report_topic(member.client.state.client_id)
        task = asyncio.ensure_future(self._transport.publish(topic, report, REPORT_QOS))
        self._reporting.add(task)
        task.add_done_callback(self._reporting.discard)


@asynccontextmanager
async def fleet(suite: Suite, broker: str) -> AsyncIterator[Fleet]:
    """A fleet without members, at the broker."""
    async with open_transport(broker, "fleet") as transport:
        await transport.subscribe(ALL_CONTROL_TOPICS)
        devices = Fleet(suite, transport)
        async with beside(devices.run()):
            yield devices


def _forget(_state: State) -> None:
    """The devices live as long as the test."""
