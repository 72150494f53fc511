# SPDX-License-Identifier: Apache-2.0
"""Bytes and numbers in JSON files: one spelling each, so that every other one is noticed as damage or forgery."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, TypeVar

from e4core.errors import E4Error, InvalidInput

T = TypeVar("T")

_HEX = re.compile("(?:[0-9a-f]{2})*", re.ASCII)
_DECIMAL = re.compile("0|[1-9][0-9]{0,18}", re.ASCII)


def parse_json(data: bytes) -> dict[str, Any]:
    """First JSON value in ``data``, which must be an object; what follows it is left alone (`wire.md` section 10).

    Raises: InvalidInput (``bad_state``).
    """
    try:
        body, _ = json.JSONDecoder().raw_decode(data.decode().lstrip())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidInput("the state is no JSON object; restore it from a copy", kind="bad_state")
    return body


def guarded(parse: Callable[[], T]) -> T:
    """Run ``parse`` on untrusted JSON and turn every mismatch into one typed error that holds no value of it."""
    try:
        return parse()
    except KeyError as error:
        detail = f"misses {error}"
    except E4Error:
        raise
    except (TypeError, ValueError, AttributeError, OverflowError):
        detail = "has a field of the wrong form"
    # raised out here, as the error that led to it may hold the field, and so a key
    raise InvalidInput(f"the state {detail}; restore it from a copy", kind="bad_state")


def whole(value: object, bits: int = 63) -> int:
    """``value`` as an int from 0 to 2^bits - 1, as it is in JSON; a second or counter of Format 1 has 63 bits."""
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise InvalidInput("the state has a number out of range", kind="bad_state")
    return value


def whole_key(text: str) -> int:
    """The same where it is the key of an object: decimal digits without sign or leading zeros."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError
    return whole(int(text))


def b64(value: bytes) -> str:
    """Standard base64 with padding."""
    return b64encode(value).decode()


def unb64(text: str) -> bytes:
    """Exactly what `b64` gives. Raises: ValueError, or what a value that is no text raises, for `guarded`."""
    value = b64decode(text.encode("ascii"), validate=True)
    if b64(value) != text:
        raise ValueError
    return value


def unhex(text: str) -> bytes:
    """Lower-case hex digits without anything between them. Raises: as `unb64`."""
    if not _HEX.fullmatch(text):
        raise ValueError
    return bytes.fromhex(text)
