# SPDX-License-Identifier: Apache-2.0
"""What a secret looks like where it must not be, and what a program says where somebody may read it."""

from __future__ import annotations

import base64
import ctypes
import fcntl
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import lru_cache
from io import FileIO, StringIO
from tempfile import TemporaryFile
from urllib.parse import quote

from e4conformance.credentials import LEAST_LEN

_HIGH = 200
HIDDEN = "(hidden)"
"""Stands in a report where a credential was."""


def spellings(secret: bytes) -> set[str]:
    """As text, as Python shows it, in hexadecimal, as numbers, and in base64 whole and at all three alignments."""
    texts = {secret.decode("latin-1"), secret.decode(errors="backslashreplace"), repr(bytes(secret))[2:-1]}
    pairs = [f"{byte:02x}" for byte in secret]
    hexadecimal = {
        "".join(pairs),
        " ".join(pairs),
        ":".join(pairs),
        *(f"0x{f'{sep}0x'.join(pairs)}" for sep in (",", ", ")),
    }
    hexadecimal |= {form.upper().replace("0X", "0x") for form in hexadecimal} | {"\\x" + "\\x".join(pairs)}
    numbers = {", ".join(map(str, secret)), " ".join(map(str, secret))}
    numbers |= {str(int.from_bytes(secret, order)) for order in ("big", "little")}
    encoded = {base64.b64encode(secret).decode().rstrip("=")}
    # the characters in the middle are the same wherever it stands in what was encoded
    encoded |= {base64.b64encode(bytes(pad) + secret)[4 * (pad > 0) :].rstrip(b"=")[2:-2].decode() for pad in range(3)}
    encoded |= {form.translate(str.maketrans("+/", "-_")) for form in encoded}
    forms = texts | hexadecimal | numbers | encoded | {quote(secret, safe="")}
    return {form for form in forms if len(form) >= LEAST_LEN}


def leaks(places: Mapping[str, str], secrets: Mapping[str, bytes]) -> list[str]:
    """``what in place`` for each secret that stands in one of ``places`` in any spelling."""
    forms = {what: spellings(secret) for what, secret in secrets.items()}
    return [
        f"{what} in {place}"
        for place, text in places.items()
        for what, spelt in forms.items()
        if any(form in text for form in spelt)
    ]


def masked(text: str, secrets: Iterable[bytes]) -> str:
    """``text`` with `HIDDEN` for each of ``secrets`` in any spelling."""
    forms = _forms(frozenset(map(bytes, secrets)))
    return forms.sub(HIDDEN, text) if forms else text


@lru_cache(maxsize=8)
def _forms(secrets: frozenset[bytes]) -> re.Pattern[str] | None:
    found = {form for secret in secrets for form in spellings(secret)}
    return re.compile("|".join(map(re.escape, sorted(found, key=len, reverse=True)))) if found else None


@contextmanager
def said() -> Iterator[StringIO]:
    """Gathers all that is logged at any level, and all that is printed, by native code too; whole when the ``with`` has ended."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    level = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(1)
    try:
        with _native(text), redirect_stdout(text), redirect_stderr(text):
            yield text
    finally:
        logging.root.setLevel(level)
        logging.root.removeHandler(handler)


@contextmanager
def _native(text: StringIO) -> Iterator[None]:
    """What goes to the descriptors of the standard streams, past Python."""
    with TemporaryFile() as low:
        high = _high(low.fileno())
    with os.fdopen(high, "w+b", buffering=0) as file:
        try:
            with _instead(1, file), _instead(2, file):
                yield
        finally:
            file.seek(0)
            text.write(file.read().decode(errors="backslashreplace"))


@contextmanager
def _instead(number: int, file: FileIO) -> Iterator[None]:
    _flush()
    former = _high(number)
    os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        _flush()
        os.dup2(former, number)
        os.close(former)


def _high(number: int) -> int:
    """A copy of a descriptor, out of reach of modules that close what is not theirs any more: openCryptoki was seen to."""
    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH)


def _flush() -> None:
    """What is buffered, by Python and by the library of C, belongs to where the descriptors go now."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.closed:
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def numbered(what: str, secrets: Iterable[bytes]) -> dict[str, bytes]:
    """``what 1``, ``what 2``... as a report can name them."""
    return {f"{what} {number}": secret for number, secret in enumerate(secrets, 1)}
