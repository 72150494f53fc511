# SPDX-License-Identifier: Apache-2.0
"""Whole clients on the suite, and a C2 as far as they need one; here alone the requirements meet the difference of the formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from e4conformance.suites.subject import Entity, SuiteSubject
from e4core import command, command2, formats
from e4core.client import Client
from e4core.client2 import Client2
from e4core.control2 import seal_command
from e4core.errors import AuthenticationFailed
from e4core.formats import AnyState
from e4core.keys import ClientId, FullTopicHash, Secret, TopicHash, TopicKey
from e4core.obeying import Handled
from e4core.report import Report, fingerprint, open_report
from e4core.state import State, TopicState
from e4core.state2 import Epoch, Peer, State2
from e4core.suite import Channel, Suite

NOW = 1_800_000_000.25
SECOND = int(NOW)
EPOCH = 1000
TOPIC = "plant/7/temperature"
OTHER = "plant/8/temperature"
VALIDITY_S = 600


@dataclass(frozen=True, slots=True)
class Shape:
    """How one format says it."""

    state: Callable[[SuiteSubject, AnyState, Mapping[str, bytes], Mapping[ClientId, Entity]], AnyState]
    commands: Any
    """The module with its commands."""
    set_topic_key: Callable[[Suite, str, bytes, int, int], Any]
    """Args: suite, topic, key, epoch, and the second from which older ones are over."""
    set_pub_key: Callable[[SuiteSubject, ClientId, Entity], Any]


def _state1(
    _subject: SuiteSubject, state: AnyState, topics: Mapping[str, bytes], peers: Mapping[ClientId, Entity]
) -> AnyState:
    assert isinstance(state, State)
    held = {TopicHash(_subject.suite.derive_topic(name)): TopicState(TopicKey(key)) for name, key in topics.items()}
    return replace(state, topics=held, peers={name: peer.public for name, peer in peers.items()})


def _state2(
    subject: SuiteSubject, state: AnyState, topics: Mapping[str, bytes], peers: Mapping[ClientId, Entity]
) -> AnyState:
    assert isinstance(state, State2)
    suite = subject.suite
    held = {
        FullTopicHash(suite.derive_topic(name)): (
            Epoch(EPOCH, TopicKey(key), fingerprint(suite, TopicKey(key)), 1, VALIDITY_S),
        )
        for name, key in topics.items()
    }
    known = {name: Peer(subject.signature_public(peer)) for name, peer in peers.items()}
    return replace(state, topics=held, peers=known)


_SHAPES = {
    1: Shape(
        _state1,
        command,
        lambda suite, topic, key, _epoch, _until: command.SetTopicKey(
            TopicKey(key), TopicHash(suite.derive_topic(topic))
        ),
        lambda _subject, client, entity: command.SetPubKey(entity.public, client),
    ),
    2: Shape(
        _state2,
        command2,
        lambda suite, topic, key, epoch, until: command2.SetTopicKey(
            FullTopicHash(suite.derive_topic(topic)), epoch, TopicKey(key), 1, VALIDITY_S, older_until=until
        ),
        lambda subject, client, entity: command2.SetPubKey(client, subject.signature_public(entity)),
    ),
}


class Fleet:
    """A C2 and devices that know each other, by number; each holds ``topics``."""

    def __init__(self, subject: SuiteSubject, what: str, topics: Mapping[str, bytes] | None = None) -> None:
        self.subject, self.suite = subject, subject.suite
        self.shape = _SHAPES[subject.suite.format]
        self.random = subject.random(what)
        self.key = self.random.randbytes(32)
        self.topics = {TOPIC: self.key} if topics is None else topics
        self.c2 = subject.c2s[0]

    def id(self, number: int) -> ClientId:
        return ClientId(self.suite.derive_id(f"device {number}"))

    def device(self, number: int, knows: Sequence[int] = (0, 1)) -> Device:
        return Device(self, number, knows)


class Device:
    """One client, what it saved last, and the C2's end of its channel."""

    def __init__(self, fleet: Fleet, number: int, knows: Sequence[int]) -> None:
        subject, suite = fleet.subject, fleet.suite
        self.fleet, self.suite = fleet, suite
        self.entity, self.id = subject.devices[number], fleet.id(number)
        self.channel: Channel = suite.control.at_c2(fleet.c2.private, self.entity.public)
        self.saved = b""
        self._sequence = 0
        peers = {} if suite.is_symmetric else {fleet.id(each): subject.devices[each] for each in knows}
        state = formats.new_state(suite, self.id, Secret(self.entity.stored), fleet.c2.public)
        self.client: Client | Client2 = self._started(fleet.shape.state(subject, state, fleet.topics, peers))

    def _started(self, state: AnyState) -> Client | Client2:
        return formats.new_client(self.suite, state, self._save)

    def _save(self, state: AnyState) -> None:
        self.saved = formats.dump(state)

    def restart(self, *, clean: bool) -> None:
        """Stop in order, or by a crash, and start from what was saved."""
        if clean:
            self.client.close()
        self.client = self._started(formats.load(self.saved))

    def protect(self, payload: bytes, topic: str = TOPIC, now: float = NOW) -> bytes:
        return self.client.protect(payload, topic, now)

    def read(self, data: bytes, topic: str = TOPIC, now: float = NOW) -> bytes:
        """The payload."""
        return self.client.unprotect(data, topic, now).payload

    def sealed(self, *commands: Any, now: float = NOW, plain: bytes | None = None, by: Channel | None = None) -> bytes:
        """A command as the C2 sends it. Args: plain: in place of commands.  by: in place of the C2's end."""
        self._sequence += 1
        channel = by or self.channel
        if self.suite.format == 1:
            text = command.encode(commands[0]) if plain is None else plain
            header = int(now).to_bytes(8, "little")
            return header + channel.command_key.seal(b"", text, header)
        text = command2.encode(commands, int(now)) if plain is None else plain
        salt = self.fleet.random.randbytes(16)
        return seal_command(self.suite, channel, self.id, self._sequence, text, salt)

    def obey(self, data: bytes, now: float = NOW) -> Handled[Any]:
        return self.client.command(data, now)

    def command(self, *commands: Any, now: float = NOW) -> Handled[Any]:
        """Sealed by the C2, and obeyed."""
        return self.obey(self.sealed(*commands, now=now), now)

    def report(self, data: bytes, by: Channel | None = None) -> Report:
        """As the C2 reads it."""
        return open_report(self.suite, by or self.channel, self.id, data)

    def opens(self, data: bytes, by: Channel) -> bool:
        """Whether a report opens at another end."""
        try:
            self.report(data, by)
        except AuthenticationFailed:
            return False
        return True

    def hello(self) -> bytes:
        return self.client.hello(NOW)
