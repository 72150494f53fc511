# SPDX-License-Identifier: Apache-2.0
"""The commands of Format 2, as one table: opcode -> value and fields (`format2.md` section 3).

Plaintext of a command: issued (8 B, Unix seconds) | one or more entries of length (2 B) | opcode (1 B) | arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from e4core.command import RemovePubKey as RemovePubKey
from e4core.command import ResetPubKeys as ResetPubKeys
from e4core.command import ResetTopics as ResetTopics
from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey, check_symmetric_key
from e4core.suite import Suite

ISSUED_LEN = 8
LENGTH_LEN = 2
NEVER = 0
"""As ``not_after``: the epoch has no end."""


@dataclass(frozen=True, slots=True)
class RemoveTopic:
    topic: FullTopicHash


@dataclass(frozen=True, slots=True)
class SetIDKey:
    """The new device key, 32 bytes; pending until a command opens under it."""

    key: Secret


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


@dataclass(frozen=True, slots=True)
class _Field:
    """How many bytes a field has in a suite, and how it is read and written."""

    length: Callable[[Suite], int]
    read: Callable[[bytes], Any] = bytes
    write: Callable[[Any], bytes] = bytes
    known: Callable[[bytes], bool] = lambda _data: True
    """False: a later version may give this value a meaning."""


def _bytes(length: int, kind: Callable[[bytes], Any] = bytes) -> _Field:
    return _Field(lambda _suite: length, kind)


def _number(length: int, highest: int | None = None) -> _Field:
    def read(data: bytes) -> int:
        return int.from_bytes(data, "little")

    return _Field(
        lambda _suite: length,
        read,
        lambda value: value.to_bytes(length, "little"),
        lambda data: highest is None or read(data) <= highest,
    )


def _signature_len(suite: Suite) -> int:
    return suite.signature.public_len if suite.signature else 0


def _kem_len(suite: Suite) -> int:
    return suite.c2.public_len - _signature_len(suite)


def _nothing(_suite: Suite, _command: Any) -> None:
    pass


def _check_id_key(_suite: Suite, command: SetIDKey) -> None:
    check_symmetric_key(command.key)


def _check_pub_key(suite: Suite, command: SetPubKey) -> None:
    if suite.signature:
        suite.signature.verifier(command.public)


def _check_c2_key(suite: Suite, command: SetC2Key) -> None:
    suite.c2.check(command.public)


@dataclass(frozen=True, slots=True)
class _Layout:
    command: type[Any]
    fields: tuple[_Field, ...] = ()
    suites: frozenset[bool] = frozenset({True, False})
    """Whether it exists in symmetric suites, in public-key suites."""
    check: Callable[[Suite, Any], None] = _nothing

    def length(self, suite: Suite) -> int:
        """Bytes of the entry, opcode included."""
        return 1 + sum(field.length(suite) for field in self.fields)

    def values(self, suite: Suite, entry: bytes) -> Iterator[tuple[_Field, bytes]]:
        """Fields and their bytes in an entry of the right length."""
        offset = 1
        for field in self.fields:
            end = offset + field.length(suite)
            yield field, entry[offset:end]
            offset = end

    def supported(self, suite: Suite, entry: bytes) -> bool:
        return suite.is_symmetric in self.suites and all(field.known(data) for field, data in self.values(suite, entry))

    def read(self, suite: Suite, entry: bytes) -> Command2:
        """Raises: InvalidInput (``bad_key``)."""
        command: Command2 = self.command(*[field.read(data) for field, data in self.values(suite, entry)])
        self.check(suite, command)
        return command


_SYMMETRIC, _PUBLIC_KEY = frozenset({True}), frozenset({False})
_TOPIC = _bytes(32, FullTopicHash)
_CLIENT = _bytes(16, ClientId)
_NONCE = _bytes(16)
_TIME = _number(8)
_SIGNATURE_PUBLIC = _Field(_signature_len)
_KEM_PUBLIC = _Field(_kem_len)
_TOPIC_KEY = (_TOPIC, _number(4), _bytes(32, TopicKey), _number(1, highest=1), _number(4), _TIME, _TIME)

TABLE: dict[int, _Layout] = {
    0x00: _Layout(RemoveTopic, (_TOPIC,)),
    0x01: _Layout(ResetTopics),
    0x02: _Layout(SetIDKey, (_bytes(32, Secret),), _SYMMETRIC, _check_id_key),
    0x03: _Layout(SetTopicKey, _TOPIC_KEY),
    0x04: _Layout(RemovePubKey, (_CLIENT,), _PUBLIC_KEY),
    0x05: _Layout(ResetPubKeys, (), _PUBLIC_KEY),
    0x06: _Layout(SetPubKey, (_CLIENT, _SIGNATURE_PUBLIC, _TIME), _PUBLIC_KEY, _check_pub_key),
    0x07: _Layout(SetC2Key, (_KEM_PUBLIC, _SIGNATURE_PUBLIC), _PUBLIC_KEY, _check_c2_key),
    0x08: _Layout(NewIDKey, (_NONCE,), _PUBLIC_KEY),
    0x09: _Layout(Sync, (_NONCE, _TIME)),
}
_OPCODES: dict[type[Any], int] = {layout.command: opcode for opcode, layout in TABLE.items()}
_NAMES = {layout.command: tuple(field.name for field in fields(layout.command)) for layout in TABLE.values()}


def opcode(command: Command2) -> int:
    return _OPCODES[type(command)]


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
    for entry in entries:
        layout = TABLE.get(entry[0])
        if layout and len(entry) != layout.length(suite):
            name = layout.command.__name__
            raise InvalidInput(f"{name} cannot have {len(entry)} bytes", kind="bad_command_length")
    layouts = [_layout(entry) for entry in entries]
    for layout, entry in zip(layouts, entries, strict=True):
        if not layout.supported(suite, entry):
            raise UnsupportedSuite(f"{layout.command.__name__} means nothing like this in the suite {suite.name}")
    return [layout.read(suite, entry) for layout, entry in zip(layouts, entries, strict=True)]


def _entry(command: Command2) -> bytes:
    layout = TABLE[opcode(command)]
    values = zip(layout.fields, _NAMES[layout.command], strict=True)
    body = bytes([opcode(command)]) + b"".join(field.write(getattr(command, name)) for field, name in values)
    return len(body).to_bytes(LENGTH_LEN, "little") + body


def _split(plain: bytes) -> Iterator[bytes]:
    offset = ISSUED_LEN
    while offset != len(plain):
        begin = offset + LENGTH_LEN
        offset = begin + int.from_bytes(plain[offset:begin], "little")
        if not begin < offset <= len(plain):
            raise InvalidInput("an entry of a command is empty or cut short", kind="bad_command_length")
        yield plain[begin:offset]


def _layout(entry: bytes) -> _Layout:
    layout = TABLE.get(entry[0])
    if layout is None:
        raise InvalidInput("no such command", kind="unknown_command")
    return layout
