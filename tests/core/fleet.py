# SPDX-License-Identifier: Apache-2.0
"""A small fleet for tests: devices over a store in memory, and the bytes that others send them.

Messages and commands are made here from `wire.md` with `cryptography` alone, so that both ends are never wrong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import lru_cache
from hashlib import sha3_256, sha256, sha512
from hmac import digest as hmac_digest
from typing import Any, Generic, TypeVar, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from e4core.client import Client, Tolerance
from e4core.command import (
    Command,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    SetTopicKey,
)
from e4core.errors import E4Error, StorageError
from e4core.formats import AnyState, dump, load
from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.obeying import Handled
from e4core.report import Ack, Report, open_report
from e4core.state import State, TopicState, new_state
from e4core.suite import Channel, Suite

S = TypeVar("S", bound=AnyState)

NOW = 1_800_000_000.25
SECOND = int(NOW)
TOPIC = "plant/7/temperature"
OPCODES = [RemoveTopic, ResetTopics, SetIDKey, SetTopicKey, RemovePubKey, ResetPubKeys, SetPubKey, SetC2Key]
LOW_ORDER_ED25519 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")  # order 8
LOW_ORDER_X25519 = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")  # order 8


def bytes32(name: str) -> bytes:
    return sha256(name.encode()).digest()


def topic_hash(name: str) -> TopicHash:
    return TopicHash(sha3_256(name.encode()).digest()[:16])


def client_id(name: str) -> ClientId:
    return ClientId(topic_hash(name))


def topic_key(name: str) -> TopicKey:
    return TopicKey(bytes32(name))


@lru_cache(maxsize=256)
def private_of(suite: Suite, name: str) -> Secret:
    """A device's private value: in ``sk`` the key, in ``pk`` seed | public key."""
    seed = bytes32(name)
    if suite.is_symmetric:
        return Secret(seed)
    return Secret(seed + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


@lru_cache(maxsize=256)
def c2_public_of(suite: Suite, name: str) -> bytes:
    if suite.is_symmetric:
        return b""
    return X25519PrivateKey.from_private_bytes(bytes32(name)).public_key().public_bytes_raw()


@lru_cache(maxsize=256)
def shared_secret(suite: Suite, private: bytes, c2: str) -> bytes:
    """What device and C2 share: the device key, or SHA3-256 of the X25519 result (`wire.md` section 6.1)."""
    if suite.is_symmetric:
        return private
    mine = X25519PrivateKey.from_private_bytes(_sha512_half(private[:32]))
    return sha3_256(mine.exchange(X25519PublicKey.from_public_bytes(c2_public_of(suite, c2)))).digest()


def seal(key: bytes, plain: bytes, second: int) -> bytes:
    """timestamp (8) | SIV (16) | ciphertext (n) under the doubled key (`wire.md` sections 3 and 5)."""
    header = second.to_bytes(8, "little")
    return header + AESSIV(key + key).encrypt(plain, [header])


def sign(private: bytes, client: bytes, sealed: bytes) -> bytes:
    """The ``pk`` message around what `seal` gave (`wire.md` section 6)."""
    signed = sealed[:8] + client + sealed[8:]
    return signed + Ed25519PrivateKey.from_private_bytes(private[:32]).sign(signed)


def wire_form(command: Command) -> bytes:
    """Opcode, then the fields one after the other."""
    values = [bytes(getattr(command, field.name)) for field in fields(command)]
    return bytes([OPCODES.index(type(command))]) + b"".join(values)


@contextmanager
def refused(*kinds: str) -> Iterator[pytest.ExceptionInfo[E4Error]]:
    """The block must raise a leaf of the error tree; with ``kinds``: one of these."""
    with pytest.raises(E4Error) as caught:
        yield caught
    assert not type(caught.value).__subclasses__(), f"{type(caught.value).__name__} is no leaf"
    assert str(caught.value)
    assert not kinds or caught.value.kind in kinds


class Store(Generic[S]):
    """Keeps all that was saved, as bytes; once ``full`` it refuses."""

    def __init__(self) -> None:
        self.saved: list[bytes] = []
        self.full = False

    def __call__(self, state: S) -> None:
        if self.full:
            raise StorageError("the disk is full")
        self.saved.append(dump(state))

    @property
    def last(self) -> S:
        return cast("S", load(self.saved[-1]))


class Device:
    """One device, its store, and its C2, which is called by a name that makes its key."""

    def __init__(
        self,
        suite: Suite,
        name: str = "device",
        *,
        topics: Mapping[str, TopicKey] | None = None,
        knows: tuple[str, ...] = ("sender",),
        c2: str = "c2",
        tolerance: Tolerance = Tolerance(),  # noqa: B008
    ) -> None:
        self.suite, self.c2, self.tolerance = suite, c2, tolerance
        self.id = client_id(name)
        self.private = private_of(suite, name)
        self.store = Store[State]()
        held = {TOPIC: topic_key("key")} if topics is None else topics
        peers = {} if suite.is_symmetric else {client_id(n): private_of(suite, n)[32:] for n in knows}
        state = new_state(suite, self.id, self.private, c2_public_of(suite, c2))
        self.start(replace(state, topics={topic_hash(t): TopicState(key) for t, key in held.items()}, peers=peers))

    def start(self, state: State) -> Client:
        self.client = Client(self.suite, state, self.store, self.tolerance)
        return self.client

    def restart(self, *, clean: bool) -> Client:
        """Stop, in order or by a crash, and start from what was saved."""
        if clean:
            self.client.close()
        return self.start(self.store.last)

    def command(self, command: Command | bytes, sent: int, now: float | None = None) -> Handled[Command]:
        """Let the C2 send one command at second ``sent``, received at ``now``."""
        return self.client.command(self.sealed(command, sent), sent if now is None else now)

    def sealed(self, command: Command | bytes, sent: int) -> bytes:
        plain = command if isinstance(command, bytes) else wire_form(command)
        return seal(shared_secret(self.suite, self.private, self.c2), plain, sent)

    def channel(self) -> Channel:
        """The C2's end."""
        public = self.private if self.suite.is_symmetric else self.private[32:]
        c2 = self.suite.c2.load(b"" if self.suite.is_symmetric else bytes32(self.c2))
        return self.suite.control.at_c2(c2, public)

    def report(self, data: bytes | None) -> Report:
        assert data is not None
        return open_report(self.suite, self.channel(), self.id, data)

    def ack(self, handled: Handled[Command]) -> Ack:
        ack = self.report(handled.report)
        assert isinstance(ack, Ack)
        return ack


def message(suite: Suite, payload: bytes, sent: int, key: bytes | None = None, sender: str = "sender") -> bytes:
    """A message that ``sender`` protected at second ``sent``."""
    sealed = seal(topic_key("key") if key is None else key, payload, sent)
    return sealed if suite.is_symmetric else sign(private_of(suite, sender), topic_hash(sender), sealed)


def digest_of(topics: Mapping[Any, tuple[int, int, bytes]], peers: Mapping[ClientId, bytes]) -> bytes:
    """State digest, 16 bytes (`format2.md` section 4), computed from its text.

    Args: topics: by hash, newest sending epoch and newest epoch, both 0 in Format 1, and its key.
    """
    records = [
        b"\x01" + topic + le(sends, 4) + le(newest, 4) + hkdf(key, lp("E4.2 fingerprint"), 8)
        for topic, (sends, newest, key) in topics.items()
    ]
    records += [b"\x02" + peer + sha3_256(public).digest()[:8] for peer, public in peers.items()]
    return sha3_256(b"".join(sorted(records))).digest()[:16]


def hkdf(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 with an empty salt (RFC 5869)."""
    root, blocks = hmac_digest(bytes(32), secret, "sha256"), [b""]
    while len(blocks) * 32 < length + 32:
        blocks.append(hmac_digest(root, blocks[-1] + info + bytes([len(blocks)]), "sha256"))
    return b"".join(blocks)[:length]


def le(value: int, length: int) -> bytes:
    return value.to_bytes(length, "little")


def lp(text: str) -> bytes:
    """``text`` after its length in one byte."""
    return bytes([len(text)]) + text.encode()


def _sha512_half(seed: bytes) -> bytes:
    return sha512(seed).digest()[:32]
