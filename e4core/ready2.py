# SPDX-License-Identifier: Apache-2.0
"""What a client of Format 2 keeps ready for its state: channels, verifiers, and where the messages of a topic lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from e4core import epochs, report
from e4core.control2 import open_command
from e4core.errors import AuthenticationFailed, UnknownKey
from e4core.keys import ClientId, FullTopicHash
from e4core.replay2 import Memories2, TopicMemory
from e4core.sending2 import message_key_info, signature_label
from e4core.session2 import Open, Session, Verify, validity
from e4core.state2 import Peer, State2
from e4core.suite import Channel, Suite, Verifier
from e4core.transition2 import Way


class Topic:
    """One topic that is held, for what arrives on it; its memory must have been told of its epochs."""

    __slots__ = ("epochs", "hash", "label", "memory", "newest", "retires", "table")

    def __init__(self, suite: Suite, topic: FullTopicHash, held: epochs.Epochs, memory: TopicMemory) -> None:
        self.hash = topic
        self.memory = memory
        self.label = signature_label(suite, topic)
        self.newest = held[-1].number
        self.epochs = {epoch.number: epoch for epoch in held if epoch.key}
        self.table = {number: memory.table[number] for number in self.epochs}
        """Epoch -> sender id and session -> what is remembered."""
        self.retires = min((epochs.ends(epoch) for epoch in self.epochs.values()), default=float("inf"))
        """Unix second at which a key is to be erased."""

    def stranger(self, epoch: int, who: bytes, sequence: int, floor: int) -> Session:
        """A session that is not remembered. Args: floor: of all topics.

        Raises: UnknownKey (``epoch_unknown``, ``epoch_retired``).
        """
        held = self.epochs.get(epoch)
        if held is None:
            raise _no_epoch(epoch, self.newest)
        return Session(epoch, who, sequence, validity(held), max(floor, self.memory.floor(who)))

    def opener(self, suite: Suite, session: Session) -> Open:
        """Opens the messages of a session; to be kept only once one was authentic. Raises: UnknownKey (``epoch_retired``)."""
        held = self.epochs.get(session.epoch)
        if held is None or held.key is None:
            raise _no_epoch(session.epoch, self.newest)
        info = message_key_info(suite, self.hash, session.epoch, session.who)
        return suite.aead.key(suite.kdf(held.key, info, suite.aead.key_len)).open


class Author:
    """Verifies the messages of one sender: under the current key, else under the one before it, while it is in grace."""

    __slots__ = ("_current", "_former", "_until", "peer")

    def __init__(self, peer: Peer, verifier: Callable[[bytes], Verifier]) -> None:
        self.peer = peer
        self._current = verifier(peer.public)
        self._former = verifier(peer.former) if peer.former else None
        self._until = peer.until

    def of(self, label: bytes) -> Verify:
        """Verifies messages on one topic. Args: label: what stands before them where they are signed."""
        return partial(self._verify, label)

    def _verify(self, label: bytes, message: bytes, signature: bytes, now: float) -> None:
        """Raises: AuthenticationFailed (``bad_signature``)."""
        signed = label + message
        try:
            self._current.verify(signed, signature)
        except AuthenticationFailed:
            if self._former is None or now >= self._until:
                raise
            self._former.verify(signed, signature)


@dataclass(frozen=True, slots=True)
class Control:
    """Channels to the C2, by the keys of which they are made."""

    keys: tuple[bytes, ...]
    ways: tuple[tuple[Way, Channel], ...]
    reports: Channel

    @classmethod
    def make(cls, suite: Suite, state: State2, former: Control | None) -> Control:
        """Raises: InvalidInput (``bad_key``)."""
        keys = _control_keys(state)
        if former and former.keys == keys:
            return former
        ways = {}
        for c2, former_c2 in ((state.c2_public, False), (state.former_c2_public, True)):
            for private, pending in ((state.private, False), (state.pending, True)):
                if private and (c2 or not former_c2):
                    ways[Way(pending, former_c2)] = suite.control.at_device(suite.device.load(private), c2)
        # in symmetric suites the C2 learns from the acknowledgement that the new key has arrived
        pending = suite.is_symmetric and bool(state.pending)
        return cls(keys, tuple(ways.items()), ways[Way(pending)])

    def open(self, suite: Suite, client: ClientId, data: bytes) -> tuple[bytes, Way]:
        """Plaintext of a command, and the way it came.

        Raises: AuthenticationFailed: ``not_authentic`` if under any keys all but the AEAD was in order, else ``bad_signature``.
        """
        failure = AuthenticationFailed(kind="bad_signature")
        for way, channel in self.ways:
            try:
                return open_command(suite, channel, client, data), way
            except AuthenticationFailed as error:
                if failure.kind != AuthenticationFailed.kind:
                    failure = error
        raise failure


@dataclass(frozen=True, slots=True)
class Ready2:
    """What is made from one state and may fail; what did not change is taken over from the former one."""

    control: Control
    authors: Mapping[bytes, Author] | None
    """By sender, the device itself included; None in suites without signatures."""
    sign: Callable[[bytes], bytes] | None
    own: Peer
    """The device's own key."""

    @classmethod
    def make(cls, suite: Suite, state: State2, former: Ready2 | None) -> Ready2:
        """Raises: InvalidInput (``bad_key``)."""
        control = Control.make(suite, state, former.control if former else None)
        if suite.signature is None:
            return cls(control, None, None, Peer(b""))
        known = former.authors if former and former.authors else {}
        if former and former.control is control:
            own, sign = former.own, former.sign
        else:
            private = suite.device.load(state.private)
            own = Peer(suite.device.public(private)[: suite.signature.public_len])
            sign = suite.signature.signer(private).sign
        peers = {**state.peers, state.client_id: own}
        authors = {bytes(peer): _author(suite, peer, keys, known) for peer, keys in peers.items()}
        return cls(control, authors, sign, own)


def topics_of(suite: Suite, state: State2, memories: Memories2) -> dict[bytes, Topic]:
    """Topics that are held, by their hash. Args: memories: that follow ``state`` already."""
    return {bytes(topic): Topic(suite, topic, held, memories.of(topic)) for topic, held in state.topics.items()}


def digest(suite: Suite, state: State2) -> bytes:
    """State digest for reports, 16 bytes."""
    topics = {bytes(topic): epochs.held(held) for topic, held in state.topics.items()}
    return report.digest2(suite, topics, {bytes(peer): keys.public for peer, keys in state.peers.items()})


def _author(suite: Suite, peer: bytes, keys: Peer, known: Mapping[bytes, Author]) -> Author:
    held = known.get(peer)
    if held and held.peer == keys:
        return held
    assert suite.signature
    return Author(keys, suite.signature.verifier)


def _control_keys(state: State2) -> tuple[bytes, ...]:
    return state.private, state.pending, state.c2_public, state.former_c2_public


def _no_epoch(epoch: int, newest: int) -> UnknownKey:
    if epoch > newest:
        return UnknownKey(f"epoch {epoch} of the topic has not arrived yet; try again soon", kind="epoch_unknown")
    return UnknownKey(f"epoch {epoch} of the topic is over, or never was", kind="epoch_retired")
