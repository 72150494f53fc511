# SPDX-License-Identifier: Apache-2.0
"""Secrets are seen however they are spelt, and whoever says them: Python, a logger, or native code."""

from __future__ import annotations

import base64
import ctypes
import logging
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from e4conformance.spellings import leaks, masked, said

SECRET = bytes.fromhex("a55a00ff10e7c3b2918f7e6d5c4b3a29")
SPELT: dict[str, Callable[[], str]] = {
    "hex": SECRET.hex,
    "upper hex": lambda: SECRET.hex().upper(),
    "spaced hex": lambda: SECRET.hex(" "),
    "hex with colons": lambda: SECRET.hex(":").upper(),
    "C": lambda: ", ".join(f"0x{byte:02X}" for byte in SECRET),
    "C string": lambda: "".join(f"\\x{byte:02x}" for byte in SECRET),
    "bytes": lambda: repr(SECRET),
    "list": lambda: repr(list(SECRET)),
    "base64": lambda: base64.b64encode(SECRET).decode(),
    "base64url": lambda: base64.urlsafe_b64encode(SECRET).decode(),
    "base64 of a whole": lambda: base64.b64encode(b"user:" + SECRET + b"more").decode(),
    "number": lambda: str(int.from_bytes(SECRET, "big")),
    "little number": lambda: str(int.from_bytes(SECRET, "little")),
    "latin-1": lambda: SECRET.decode("latin-1"),
}


@pytest.mark.parametrize("how", SPELT)
def test_it_is_seen_and_hidden(how: str) -> None:
    text = f"before {SPELT[how]()} after"
    assert leaks({"log": text}, {"key": SECRET}) == ["key in log"]
    assert leaks({"log": masked(text, [SECRET])}, {"key": SECRET}) == []
    assert masked(text, [SECRET]).startswith("before ")


def test_what_is_short_hides_nothing_else() -> None:
    assert masked("an error at line 12 of 12", [b"1", b"12"]) == "an error at line 12 of 12"
    assert masked("an error", []) == "an error"


SAY: dict[str, Callable[[], object]] = {
    "print": lambda: print("a word"),
    "stderr": lambda: sys.stderr.write("a word"),
    "log": lambda: logging.getLogger("acme").log(2, "a word"),
    "descriptor 1": lambda: os.write(1, b"a word"),
    "descriptor 2": lambda: os.write(2, b"a word"),
    "stdio of C": lambda: ctypes.CDLL(None).puts(b"a word"),
    "a program": lambda: subprocess.run(["echo", "a word"], check=True),
}


@pytest.mark.parametrize("way", SAY)
def test_what_is_said_is_gathered(way: str) -> None:
    with said() as text:
        SAY[way]()
    assert "a word" in text.getvalue()


def test_afterwards_it_goes_where_it_went_before(capfd: pytest.CaptureFixture[str]) -> None:
    ctypes.CDLL(None).puts(b"before")
    with said() as text, pytest.raises(RuntimeError):
        os.write(2, b"within")
        raise RuntimeError
    os.write(1, b"after")
    os.write(2, b"after")
    assert capfd.readouterr() == ("before\nafter", "after")
    assert text.getvalue() == "within"
