# SPDX-License-Identifier: Apache-2.0
"""The commands of Format 1, as one table: opcode -> value and fields (`wire.md` section 7)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.keys import ClientId, Secret, TopicHash, TopicKey
from e4core.suite import Suite


@dataclass(frozen=True, slots=True)
class RemoveTopic:
    topic: TopicHash


@dataclass(frozen=True, slots=True)
class ResetTopics:
    pass


@dataclass(frozen=True, slots=True)
class SetIDKey:
    """The device's new private value in its stored form: 32 bytes in ``sk``, 64 in ``pk``."""

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


@dataclass(frozen=True, slots=True)
class _Field:
    """How many bytes a field has, and what it is parsed into; two lengths only where it is the only field."""

    lengths: tuple[int, ...]
    parse: Any


@dataclass(frozen=True, slots=True)
class _Layout:
    command: type[Any]
    fields: tuple[_Field, ...] = ()
    public_key_only: bool = False

    @property
    def lengths(self) -> frozenset[int]:
        """Lengths in bytes of the whole command, opcode included."""
        widest = 1 + sum(field.lengths[-1] for field in self.fields)
        return frozenset({widest, widest - sum(field.lengths[-1] - field.lengths[0] for field in self.fields)})

    def parse(self, body: bytes) -> Command:
        values, offset = [], 0
        for field in self.fields:
            size = len(body) if len(field.lengths) > 1 else field.lengths[0]
            values.append(field.parse(body[offset : offset + size]))
            offset += size
        command: Command = self.command(*values)
        return command


_TOPIC = _Field((16,), TopicHash)
_CLIENT = _Field((16,), ClientId)
_TOPIC_KEY = _Field((32,), TopicKey)
_PUBLIC = _Field((32,), bytes)
_ID_KEY = _Field((32, 64), Secret)

TABLE: dict[int, _Layout] = {
    0x00: _Layout(RemoveTopic, (_TOPIC,)),
    0x01: _Layout(ResetTopics),
    0x02: _Layout(SetIDKey, (_ID_KEY,)),
    0x03: _Layout(SetTopicKey, (_TOPIC_KEY, _TOPIC)),
    0x04: _Layout(RemovePubKey, (_CLIENT,), public_key_only=True),
    0x05: _Layout(ResetPubKeys, public_key_only=True),
    0x06: _Layout(SetPubKey, (_PUBLIC, _CLIENT), public_key_only=True),
    0x07: _Layout(SetC2Key, (_PUBLIC,), public_key_only=True),
}
_OPCODES: dict[type[Any], int] = {layout.command: opcode for opcode, layout in TABLE.items()}
_NAMES = {layout.command: tuple(field.name for field in fields(layout.command)) for layout in TABLE.values()}


def opcode(command: Command) -> int:
    return _OPCODES[type(command)]


def encode(command: Command) -> bytes:
    """Opcode (1 B) | arguments, as the table says."""
    return bytes([opcode(command)]) + b"".join([getattr(command, name) for name in _NAMES[type(command)]])


def decode(data: bytes, suite: Suite) -> Command:
    """Parse one command; its length comes before everything else, then whether the suite has it.

    Raises: InvalidInput (``unknown_command``, ``bad_command_length``, ``bad_key``). UnsupportedSuite (``unsupported``).
    """
    layout = TABLE.get(data[0]) if data else None
    if layout is None:
        raise InvalidInput("no such command", kind="unknown_command")
    name = layout.command.__name__
    if len(data) not in layout.lengths:
        raise InvalidInput(f"{name} cannot have {len(data)} bytes", kind="bad_command_length")
    if layout.public_key_only and suite.is_symmetric:
        raise UnsupportedSuite(f"{name} means nothing in the suite {suite.name}")
    return layout.parse(data[1:])
