# SPDX-License-Identifier: Apache-2.0
"""What the commands of both formats have in common: tables of opcode -> value and fields, and the bytes that follow from them.

An entry is opcode (1 B) | arguments. In Format 1 it is the whole command, in Format 2 there are several (`wire.md` section 7,
`format2.md` section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.suite import Suite

SYMMETRIC, PUBLIC_KEY = frozenset({True}), frozenset({False})
"""Where a command exists, by `Suite.is_symmetric`."""


@dataclass(frozen=True, slots=True)
class Field:
    """How many bytes a field has, and how it is read and written."""

    length: Callable[[Suite, int], int]
    """In this suite, where so many bytes are left of the entry."""
    read: Callable[[bytes], Any] = bytes
    write: Callable[[Any], bytes] = bytes
    known: Callable[[bytes], bool] = lambda _data: True
    """False: a later version may give this value a meaning."""


def fixed(length: int, kind: Callable[[bytes], Any] = bytes) -> Field:
    return Field(lambda _suite, _left: length, kind)


def number(length: int, highest: int | None = None) -> Field:
    """Unsigned, little-endian."""

    def read(data: bytes) -> int:
        return int.from_bytes(data, "little")

    return Field(
        lambda _suite, _left: length,
        read,
        lambda value: value.to_bytes(length, "little"),
        lambda data: highest is None or read(data) <= highest,
    )


def _nothing(_suite: Suite, _command: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Layout:
    """Value and fields of one opcode; the fields in the order of those of the value."""

    command: type[Any]
    fields: tuple[Field, ...] = ()
    suites: frozenset[bool] = SYMMETRIC | PUBLIC_KEY
    check: Callable[[Suite, Any], None] = _nothing

    def cut(self, suite: Suite, entry: bytes) -> list[bytes]:
        """The bytes of each field. Raises: InvalidInput (``bad_command_length``)."""
        values, offset = [], 1
        for field in self.fields:
            end = offset + field.length(suite, len(entry) - offset)
            values.append(entry[offset:end])
            offset = end
        if offset != len(entry):
            raise InvalidInput(f"{self.command.__name__} cannot have {len(entry)} bytes", kind="bad_command_length")
        return values

    def check_supported(self, suite: Suite, values: Sequence[bytes]) -> None:
        known = all(field.known(value) for field, value in zip(self.fields, values, strict=True))
        if suite.is_symmetric not in self.suites or not known:
            raise UnsupportedSuite(f"{self.command.__name__} means nothing like this in the suite {suite.name}")

    def read(self, suite: Suite, values: Sequence[bytes]) -> Any:
        """Raises: InvalidInput (``bad_key``)."""
        command = self.command(*[field.read(value) for field, value in zip(self.fields, values, strict=True)])
        self.check(suite, command)
        return command


class Table:
    """All commands of one format."""

    def __init__(self, layouts: Mapping[int, Layout]) -> None:
        self._layouts = {bytes([opcode]): layout for opcode, layout in layouts.items()}
        self._written = {
            layout.command: (
                opcode,
                [(own.name, field.write) for own, field in zip(fields(layout.command), layout.fields, strict=True)],
            )
            for opcode, layout in self._layouts.items()
        }

    def encode(self, command: Any) -> bytes:
        """The entry of ``command``."""
        opcode, written = self._written[type(command)]
        return opcode + b"".join([write(getattr(command, name)) for name, write in written])

    def decode(self, entries: Sequence[bytes], suite: Suite) -> list[Any]:
        """Parse entries. Each check is made on all of them before the next one; within a check the first entry counts.

        Raises: InvalidInput (``bad_command_length``, ``unknown_command``, ``bad_key``). UnsupportedSuite (``unsupported``).
        """
        known = [(layout, layout.cut(suite, entry)) for entry in entries if (layout := self._layouts.get(entry[:1]))]
        if len(known) < len(entries):
            raise InvalidInput("no such command", kind="unknown_command")
        for layout, values in known:
            layout.check_supported(suite, values)
        return [layout.read(suite, values) for layout, values in known]
