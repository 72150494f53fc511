# SPDX-License-Identifier: Apache-2.0
"""What a secret looks like where it must not be, and what a program says where somebody may read it."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO


def spellings(secret: bytes) -> set[str]:
    """As text, as Python shows it, in hexadecimal, as a list of numbers, and in base64 at all three alignments."""
    middles = (base64.b64encode(bytes(pad) + secret)[4 * (pad > 0) :].rstrip(b"=")[2:-2].decode() for pad in range(3))
    forms = {secret.hex(), secret.hex().upper(), repr(bytes(secret))[2:-1], ", ".join(map(str, secret)), *middles}
    return forms | {secret.decode("latin-1"), secret.decode(errors="backslashreplace")}


def leaks(places: Mapping[str, str], secrets: Mapping[str, bytes]) -> list[str]:
    """``what in place`` for each secret that stands in one of ``places`` in any spelling."""
    forms = {what: spellings(secret) for what, secret in secrets.items()}
    return [
        f"{what} in {place}"
        for place, text in places.items()
        for what, spelt in forms.items()
        if any(form in text for form in spelt)
    ]


@contextmanager
def said() -> Iterator[StringIO]:
    """Gathers all that is logged at any level, and all that is printed, until the ``with`` ends."""
    text = StringIO()
    handler = logging.StreamHandler(text)
    level = logging.root.level
    logging.root.addHandler(handler)
    logging.root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(text), redirect_stderr(text):
            yield text
    finally:
        logging.root.setLevel(level)
        logging.root.removeHandler(handler)


def numbered(what: str, secrets: Iterable[bytes]) -> dict[str, bytes]:
    """``what 1``, ``what 2``... as a report can name them."""
    return {f"{what} {number}": secret for number, secret in enumerate(secrets, 1)}
