# SPDX-License-Identifier: Apache-2.0
"""The commands of Format 2, as one table: opcode -> value and fields (`format2.md` section 3).

Plaintext of a command: issued (8 B, Unix seconds) | one or more entries of length (2 B) | opcode (1 B) | arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from e4core.command import RemovePubKey as RemovePubKey
from e4core.command import ResetPubKeys as ResetPubKeys
from e4core.command import ResetTopics as ResetTopics
from e4core.command import SetIDKey as SetIDKey
from e4core.errors import InvalidInput
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey, check_symmetric_key
from e4core.opcodes import PUBLIC_KEY, SYMMETRIC, Field, Layout, Table, fixed, number
from e4core.suite import Suite

ISSUED_LEN = 8
LENGTH_LEN = 2
NEVER = 0
"""As ``not_after``: the epoch has no end."""


@dataclass(frozen=True, slots=True)
class RemoveTopic:
    topic: FullTopicHash


@dataclass(frozen=True, slots=True)
class SetTopicKey:
    topic: FullTopicHash
    epoch: int
    key: TopicKey
    use: int = 1
    """0: to read with, 1: to protect with as well."""
    validity_s: int = 0
    """How old a message may be; 0: any age."""
    not_after: int = NEVER
    """Unix second after which the epoch is over; 0: never."""
    older_until: int = 0
    """Unix second from which older epochs are over; 0: at once."""


@dataclass(frozen=True, slots=True)
class SetPubKey:
    """``public`` is the signature public key: the first `Signature.public_len` bytes of an identity's public value."""

    client: ClientId
    public: bytes
    old_until: int = 0
    """Unix second from which the previous key is over; 0: at once."""


@dataclass(frozen=True, slots=True)
class SetC2Key:
    kem_public: bytes
    signature_public: bytes

    @classmethod
    def of(cls, suite: Suite, public: bytes) -> SetC2Key:
        """From the public value of the C2's identity, which has the parts the other way round."""
        cut = _signature_len(suite)
        return cls(public[cut:], public[:cut])

    @property
    def public(self) -> bytes:
        """Public value of the identity."""
        return self.signature_public + self.kem_public


@dataclass(frozen=True, slots=True)
class NewIDKey:
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Sync:
    """Answers the hello with this nonce."""

    nonce: bytes
    time_ms: int


Command2 = (
    RemoveTopic
    | ResetTopics
    | SetIDKey
    | SetTopicKey
    | RemovePubKey
    | ResetPubKeys
    | SetPubKey
    | SetC2Key
    | NewIDKey
    | Sync
)


def _signature_len(suite: Suite) -> int:
    return suite.signature.public_len if suite.signature else 0


def _check_id_key(_suite: Suite, command: SetIDKey) -> None:
    check_symmetric_key(command.key)


def _check_pub_key(suite: Suite, command: SetPubKey) -> None:
    if suite.signature:
        suite.signature.verifier(command.public)


def _check_c2_key(suite: Suite, command: SetC2Key) -> None:
    suite.c2.check(command.public)


_TOPIC = fixed(32, FullTopicHash)
_CLIENT = fixed(16, ClientId)
_NONCE = fixed(16)
_TIME = number(8)
_SIGNATURE_PUBLIC = Field(lambda suite, _left: _signature_len(suite))
_KEM_PUBLIC = Field(lambda suite, _left: suite.c2.public_len - _signature_len(suite))
_TOPIC_KEY = (_TOPIC, number(4), fixed(32, TopicKey), number(1, highest=1), number(4), _TIME, _TIME)

_TABLE = Table(
    {
        0x00: Layout(RemoveTopic, (_TOPIC,)),
        0x01: Layout(ResetTopics),
        0x02: Layout(SetIDKey, (fixed(32, Secret),), SYMMETRIC, _check_id_key),
        0x03: Layout(SetTopicKey, _TOPIC_KEY),
        0x04: Layout(RemovePubKey, (_CLIENT,), PUBLIC_KEY),
        0x05: Layout(ResetPubKeys, (), PUBLIC_KEY),
        0x06: Layout(SetPubKey, (_CLIENT, _SIGNATURE_PUBLIC, _TIME), PUBLIC_KEY, _check_pub_key),
        0x07: Layout(SetC2Key, (_KEM_PUBLIC, _SIGNATURE_PUBLIC), PUBLIC_KEY, _check_c2_key),
        0x08: Layout(NewIDKey, (_NONCE,), PUBLIC_KEY),
        0x09: Layout(Sync, (_NONCE, _TIME)),
    }
)


def encode(commands: Sequence[Command2], issued: int) -> bytes:
    """Plaintext of one command. Args: issued: Unix seconds; never a reason to refuse."""
    return issued.to_bytes(ISSUED_LEN, "little") + b"".join(map(_entry, commands))


def decode(plain: bytes, suite: Suite) -> list[Command2]:
    """Parse what `encode` made. Each check is made on all entries before the next one; within a check the first entry counts.

    Raises: InvalidInput (``bad_command_length``, ``unknown_command``, ``bad_key``). UnsupportedSuite (``unsupported``).
    """
    entries = list(_split(plain))
    if not entries:
        raise InvalidInput("a command without entries", kind="bad_command_length")
    return _TABLE.decode(entries, suite)


def _entry(command: Command2) -> bytes:
    entry = _TABLE.encode(command)
    return len(entry).to_bytes(LENGTH_LEN, "little") + entry


def _split(plain: bytes) -> Iterator[bytes]:
    offset = ISSUED_LEN
    while offset != len(plain):
        begin = offset + LENGTH_LEN
        offset = begin + int.from_bytes(plain[offset:begin], "little")
        if not begin < offset <= len(plain):
            raise InvalidInput("an entry of a command is empty or cut short", kind="bad_command_length")
        yield plain[begin:offset]
