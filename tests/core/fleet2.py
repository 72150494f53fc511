# SPDX-License-Identifier: Apache-2.0
"""A small fleet of Format 2 for tests: devices over a store in memory, and the bytes that others send them.

Messages are made here from `format2.md` with HMAC and the bare AEAD, so that both ends are never wrong together; commands go
through the C2's end of the channel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha3_256
from typing import Any

import pytest

from e4core import command2
from e4core.client import Tolerance
from e4core.client2 import Client2
from e4core.command2 import Command2, SetTopicKey
from e4core.control2 import seal_command
from e4core.keys import FullTopicHash, Secret, TopicKey
from e4core.obeying import Handled
from e4core.report import Ack, Hello, Offer, Report, fingerprint, open_report
from e4core.state2 import Epoch, Peer, State2, new_state
from e4core.suite import Channel, Signer, Suite
from tests.core.fleet import NOW, SECOND, TOPIC, Store, bytes32, client_id, hkdf, le, lp, topic_key
from tests.core.suites2 import GCM_PK, GCM_SK, SIV_PK, SIV_SK

SUITES = [SIV_SK, GCM_SK, SIV_PK, GCM_PK]
SYMMETRIC = [SIV_SK, GCM_SK]
PUBLIC_KEY = [SIV_PK, GCM_PK]
EPOCH = 1000
SESSION = b"session0"
NEVER = 2**64 - 1

suites = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
symmetric = pytest.mark.parametrize("suite", SYMMETRIC, ids=lambda suite: suite.name)
public_key = pytest.mark.parametrize("suite", PUBLIC_KEY, ids=lambda suite: suite.name)


def full_hash(name: str) -> FullTopicHash:
    return FullTopicHash(sha3_256(name.encode()).digest())


def private_of(suite: Suite, name: str) -> Secret:
    """A private value that follows from ``name``."""
    length = suite.device.private_len
    return Secret(b"".join(bytes32(f"{name}{i}") for i in range(length // 32)))


@lru_cache(maxsize=256)
def public_of(suite: Suite, name: str) -> bytes:
    """Public value of the device or C2 called ``name``; the C2 of a symmetric suite has none."""
    return suite.device.public(suite.device.load(private_of(suite, name)))


def signature_public(suite: Suite, name: str) -> bytes:
    assert suite.signature
    return public_of(suite, name)[: suite.signature.public_len]


def c2_public_of(suite: Suite, name: str) -> bytes:
    return b"" if suite.is_symmetric else public_of(suite, name)


@dataclass(frozen=True)
class Letter:
    """A message, before it is protected."""

    payload: bytes = b"21.5"
    sender: str = "sender"
    epoch: int = EPOCH
    sent: int = SECOND
    session: bytes = SESSION
    sequence: int = 0
    topic: str = TOPIC
    key: TopicKey = field(default_factory=lambda: topic_key("key"))
    signer: str = ""
    """Whose key signs; that of the sender if empty."""

    def but(self, **changed: Any) -> Letter:
        return replace(self, **changed)

    def wire(self, suite: Suite) -> bytes:
        """The bytes that `format2.md` section 2 says."""
        who = client_id(self.sender) + self.session
        header = b"\x02" + le(self.epoch, 4) + le(self.sent, 8) + who + le(self.sequence, 4)
        context = lp(suite.wire_name) + full_hash(self.topic)
        info = lp("E4.2 message key") + context + le(self.epoch, 4) + who
        nonce = (le(self.sequence, 4) + bytes(suite.aead.nonce_len))[: suite.aead.nonce_len]
        aead = suite.aead.key(hkdf(self.key, info, suite.aead.key_len))
        message = header + aead.seal(nonce, self.payload, header)
        if suite.signature is None:
            return message
        signed = lp("E4.2 message signature") + context + message
        return message + _signer(suite, self.signer or self.sender).sign(signed)


@lru_cache(maxsize=64)
def _signer(suite: Suite, name: str) -> Signer:
    assert suite.signature
    return suite.signature.signer(suite.device.load(private_of(suite, name)))


@lru_cache(maxsize=256)
def _channel(suite: Suite, c2: str, private: str) -> Channel:
    c2_private = suite.c2.load(b"" if suite.is_symmetric else private_of(suite, c2))
    return suite.control.at_c2(c2_private, public_of(suite, private))


def epoch_of(suite: Suite, key: TopicKey, number: int = EPOCH, use: int = 1, **rest: Any) -> Epoch:
    return Epoch(number, key, fingerprint(suite, key), use, **rest)


class Device2:
    """One device, its store, and its C2, which is called by a name that makes its key."""

    def __init__(
        self,
        suite: Suite,
        name: str = "device",
        *,
        topics: Mapping[str, tuple[Epoch, ...]] | None = None,
        knows: Sequence[str] = ("sender",),
        tolerance: Tolerance = Tolerance(),  # noqa: B008
        clock_is_trusted: bool = True,
        validity_s: int = 600,
    ) -> None:
        self.suite, self.name, self.c2 = suite, name, "c2"
        self.tolerance, self.trusted = tolerance, clock_is_trusted
        self.id = client_id(name)
        self.private_name = name
        self.store = Store[State2]()
        self.sequence = 0
        held = {TOPIC: (epoch_of(suite, topic_key("key"), validity_s=validity_s),)} if topics is None else topics
        peers = {} if suite.is_symmetric else {client_id(n): Peer(signature_public(suite, n)) for n in knows}
        state = new_state(suite, self.id, private_of(suite, name), c2_public_of(suite, "c2"))
        self.start(replace(state, topics={full_hash(t): epochs for t, epochs in held.items()}, peers=peers))

    def start(self, state: State2) -> Client2:
        self.client = Client2(self.suite, state, self.store, self.tolerance, clock_is_trusted=self.trusted)
        return self.client

    def restart(self, *, clean: bool) -> Client2:
        """Stop, in order or by a crash, and start from what was saved."""
        if clean:
            self.client.close()
        return self.start(self.store.last)

    def accept(self, letter: Letter, now: float = NOW) -> Any:
        return self.client.unprotect(letter.wire(self.suite), letter.topic, now)

    def command(self, *commands: Command2, now: float = NOW, sequence: int = 0) -> Handled[Command2]:
        """Let the C2 send one command, with a sequence after all others if none is given."""
        return self.client.command(self.sealed(*commands, sequence=sequence), now)

    def sealed(self, *commands: Command2, sequence: int = 0, raw: bytes | None = None) -> bytes:
        self.sequence = max(self.sequence + 1, sequence)
        plain = command2.encode(commands, SECOND) if raw is None else raw
        channel = self.channel(self.c2, self.private_name)
        return seal_command(self.suite, channel, self.id, sequence or self.sequence, plain, bytes(16))

    def channel(self, c2: str = "", private: str = "") -> Channel:
        """The C2's end. Args: c2, private: names that make keys."""
        return _channel(self.suite, c2 or self.c2, private or self.private_name)

    def report(self, data: bytes | None, c2: str = "", private: str = "") -> Report:
        assert data is not None
        return open_report(self.suite, self.channel(c2, private), self.id, data)

    def ack(self, handled: Handled[Command2], c2: str = "", private: str = "") -> Ack:
        report = self.report(handled.report, c2, private)
        assert isinstance(report, Ack)
        return report

    def hello(self, now: float = NOW) -> Hello:
        report = self.report(self.client.hello(now))
        assert isinstance(report, Hello)
        return report

    def offer(self, handled: Handled[Command2]) -> Offer:
        offers = [report for data in handled.reports if isinstance(report := self.report(data), Offer)]
        return offers[-1]

    def everything(self) -> tuple[object, ...]:
        """All that a refusal must not change."""
        return self.client.state, self.client._memories.seen(), len(self.store.saved), self.client.synchronised

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        return self.client.state.topics[full_hash(TOPIC)]


def set_key(epoch: int, key: str = "", *, topic: str = TOPIC, **rest: Any) -> SetTopicKey:
    """SetTopicKey with a key that follows from a name, or from the number of the epoch."""
    return SetTopicKey(full_hash(topic), epoch, topic_key(key or str(epoch)), **rest)
