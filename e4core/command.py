# SPDX-License-Identifier: Apache-2.0
"""The commands of Format 1, as one table: opcode -> value and fields (`wire.md` section 7)."""

from __future__ import annotations

from dataclasses import dataclass

from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.opcodes import PUBLIC_KEY, Field, Layout, Table, fixed
from e4core.suite import Suite


@dataclass(frozen=True, slots=True)
class RemoveTopic:
    topic: TopicHash


@dataclass(frozen=True, slots=True)
class ResetTopics:
    pass


@dataclass(frozen=True, slots=True)
class SetIDKey:
    """The device's new private value in its stored form: in ``pk`` 64 bytes, in every symmetric suite 32."""

    key: Secret


@dataclass(frozen=True, slots=True)
class SetTopicKey:
    key: TopicKey
    topic: TopicHash


@dataclass(frozen=True, slots=True)
class RemovePubKey:
    client: ClientId


@dataclass(frozen=True, slots=True)
class ResetPubKeys:
    pass


@dataclass(frozen=True, slots=True)
class SetPubKey:
    public: bytes
    client: ClientId


@dataclass(frozen=True, slots=True)
class SetC2Key:
    public: bytes


Command = RemoveTopic | ResetTopics | SetIDKey | SetTopicKey | RemovePubKey | ResetPubKeys | SetPubKey | SetC2Key


_TOPIC = fixed(16, TopicHash)
_CLIENT = fixed(16, ClientId)
_TOPIC_KEY = fixed(32, TopicKey)
_PUBLIC = fixed(32)
_ID_KEY = Field(lambda _suite, left: 64 if left == 64 else 32, Secret)
"""Both lengths are well formed in both suites; which of them is a key is for the suite to say."""

_TABLE = Table(
    {
        0x00: Layout(RemoveTopic, (_TOPIC,)),
        0x01: Layout(ResetTopics),
        0x02: Layout(SetIDKey, (_ID_KEY,)),
        0x03: Layout(SetTopicKey, (_TOPIC_KEY, _TOPIC)),
        0x04: Layout(RemovePubKey, (_CLIENT,), PUBLIC_KEY),
        0x05: Layout(ResetPubKeys, (), PUBLIC_KEY),
        0x06: Layout(SetPubKey, (_PUBLIC, _CLIENT), PUBLIC_KEY),
        0x07: Layout(SetC2Key, (_PUBLIC,), PUBLIC_KEY),
    }
)


def encode(command: Command) -> bytes:
    """Opcode (1 B) | arguments, as the table says."""
    return _TABLE.encode(command)


def decode(data: bytes, suite: Suite) -> Command:
    """Parse one command; its length comes before everything else, then whether the suite has it.

    Raises: InvalidInput (``unknown_command``, ``bad_command_length``, ``bad_key``). UnsupportedSuite (``unsupported``).
    """
    command: Command
    (command,) = _TABLE.decode([data], suite)
    return command
