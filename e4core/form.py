# SPDX-License-Identifier: Apache-2.0
"""Forms of values in JSON files: each says in one place how a value is written and read; that of a record is a table of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from e4core.errors import InvalidInput
from e4core.jsonform import b64, guarded, parse_json, unb64, unhex, whole

T = TypeVar("T")
Parse = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Form:
    """How a value is written in JSON and read; ``load`` is for `guarded`: it may raise anything on what ``dump`` does not give."""

    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


def plain(load: Callable[[object], Any]) -> Form:
    """What JSON has itself. Args: load: gives back what is of the right form."""
    return Form(lambda value: value, load)


def exactly(kind: type) -> Form:
    def load(value: object) -> object:
        if type(value) is not kind:
            raise TypeError
        return value

    return plain(load)


def number(bits: int) -> Form:
    """Unsigned."""
    return plain(partial(whole, bits=bits))


def base64(parse: Parse = bytes) -> Form:
    return Form(b64, lambda text: parse(unb64(text)))


def hexadecimal(parse: Parse = bytes) -> Form:
    return Form(bytes.hex, lambda text: parse(unhex(text)))


def sized(length: int) -> Parse:
    """Refuses what has not ``length`` bytes."""

    def check(value: bytes) -> bytes:
        if len(value) != length:
            raise ValueError
        return value

    return check


def optional(form: Form) -> Form:
    """Null stands for None."""
    return Form(
        lambda value: None if value is None else form.dump(value),
        lambda body: None if body is None else form.load(body),
    )


def several(form: Form) -> Form:
    """A tuple."""
    return Form(
        lambda values: [form.dump(value) for value in values],
        lambda bodies: tuple([form.load(body) for body in bodies]),
    )


def mapping(key: Form, value: Form) -> Form:
    """Written by rising key."""
    return Form(
        lambda table: {key.dump(name): value.dump(held) for name, held in sorted(table.items())},
        lambda body: {key.load(name): value.load(held) for name, held in body.items()},
    )


def record(made: type, renamed: Mapping[str, str] | None = None, /, **fields: Form) -> Form:
    """An object of the attributes of ``made``, in this order. Args: renamed: attribute -> its name in JSON, where they differ."""
    names = {**{name: name for name in fields}, **(renamed or {})}
    return Form(
        lambda value: {names[name]: form.dump(getattr(value, name)) for name, form in fields.items()},
        lambda body: made(**{name: form.load(body[names[name]]) for name, form in fields.items()}),
    )


@dataclass(frozen=True, slots=True)
class Document(Generic[T]):
    """A file that names its format and version before all else."""

    format: str
    version: int
    form: Form

    def dump(self, value: T) -> bytes:
        """JSON form of ``value``, secrets in clear: keep it in a file of mode 0600."""
        body = {"format": self.format, "version": self.version, **self.form.dump(value)}
        return json.dumps(body, indent=1).encode() + b"\n"

    def load(self, data: bytes) -> T:
        """Parse what `dump` wrote; whether the keys are keys of the suite is left to `e4core.formats.check_keys`.

        Raises: InvalidInput (``bad_state``, ``bad_key``, ``bad_length``, ``bad_topic``).
        """
        body = parse_json(data)
        if body.get("format") != self.format or body.get("version") != self.version:
            raise InvalidInput(f"this is no {self.format} of version {self.version}", kind="bad_state")
        value: T = guarded(lambda: self.form.load(body))
        return value
