# SPDX-License-Identifier: Apache-2.0
"""Requests of the port protocol as a port reads them: each member is checked where it enters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from e4core.errors import E4Error, InvalidInput

_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_MISSING = object()


class Request:
    """A line that is a JSON object. All that its methods raise is InvalidInput (``bad_request``)."""

    def __init__(self, line: bytes) -> None:
        try:
            members = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise bad("a request is one JSON object in UTF-8 on a line") from error
        if not isinstance(members, dict):
            raise bad("a request is a JSON object")
        self._members: dict[str, Any] = members

    @property
    def number(self) -> int | None:
        """Its ``id``; None: it has none that is a whole number."""
        number = self._members.get("id")
        return number if type(number) is int else None

    def text(self, name: str) -> str:
        text: str = self._of(name, (str,))
        return text

    def hexed(self, name: str) -> bytes:
        text = self.text(name)
        if not _HEX.fullmatch(text):
            self._wrong(name)
        return bytes.fromhex(text)

    def time(self, name: str) -> float:
        """A number that is no less than 0."""
        value = self._of(name, (int, float))
        if not 0 <= value < float(1 << 63):
            self._wrong(name)
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        flag: bool = self._of(name, (bool,), default)
        return flag

    def texts(self, name: str) -> tuple[str, ...]:
        """A list, empty if it is missing."""
        values: list[Any] = self._of(name, (list,), [])
        if not all(isinstance(value, str) for value in values):
            self._wrong(name)
        return tuple(values)

    def _of(self, name: str, kinds: tuple[type[Any], ...], default: Any = _MISSING) -> Any:
        value = self._members.get(name, default)
        if type(value) not in kinds:
            self._wrong(name)
        return value

    def _wrong(self, name: str) -> NoReturn:
        raise bad(f"{name} is missing, or of the wrong form")


def bad(text: str) -> InvalidInput:
    return InvalidInput(text, kind="bad_request")


def answered(line: bytes, act: Callable[[Request], dict[str, Any]]) -> bytes:
    """The answer to a line, with the newline that ends it. Args: act: gives what is ``ok``, or raises E4Error."""
    number: int | None = None
    try:
        request = Request(line)
        number = request.number
        if number is None:
            raise bad("a request has an id, a whole number")
        return _line({"id": number, "ok": act(request)})
    except E4Error as error:
        return refused(number, error)


def refused(number: int | None, error: E4Error) -> bytes:
    """Why there is nothing else. Args: number: of the request; None: it could not be read."""
    return _line({"id": number, "error": {"kind": error.kind, "text": str(error)}})


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
