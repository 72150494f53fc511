# SPDX-License-Identifier: Apache-2.0
"""The secrets to which a URI points: it names a file or an environment variable, and where it holds one, that is hidden."""

from __future__ import annotations

import base64
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

LEAST_LEN = 4
"""Bytes; what is shorter stands somewhere by chance."""
_MOST_LEN = 65_536
_VARIABLE = re.compile(r"\benv:([A-Za-z_][A-Za-z0-9_]*)")
_PATH = re.compile(r"/[^?&#;,\s]+")
_NAME = re.compile(r"key|secret|password|passphrase|token|pin", re.IGNORECASE)
_OPTION = r"(?:[?&]|%3F|%26|\s--?)(?:[\w-]*(?:password|passwd|passphrase|secret)|pin-value|pin|token|(?:api|secret|access)-?key)"
_REFERENCE = r"env:|file:|/|env%3A|file%3A|%2F"
_HELD = re.compile(
    rf"(?P<before>//[^\s/?#:@]*:)(?P<login>[^\s/?#@]+)(?=@)"
    rf"|(?P<name>{_OPTION}(?:=|%3D|\s+))(?!{_REFERENCE})(?P<value>(?:(?!%26)[^\s&#])+)",
    re.IGNORECASE,
)
"""A password before the host, and the value of an option that is called as what it must not hold."""


def named_in(uri: str) -> list[bytes]:
    """What a driver reads at the places that ``uri`` names: lines of files that only their owner may read, and variables.

    And what stands in the ``uri`` itself.
    """
    found = {secret for text in _layers(uri) for secret in (*_values(text), *held_by(text))}
    return sorted(secret for secret in found if len(secret) >= LEAST_LEN)


def held_by(target: str) -> list[bytes]:
    """The secrets that stand in a URI or a command line, where they should not be."""
    values = [match["login"] or match["value"] for match in _HELD.finditer(target)]
    return [form.encode(errors="replace") for value in values for form in {value, unquote(value)}]


def without(target: str, hidden: str) -> str:
    """``target`` with ``hidden`` for each of the secrets that it holds, however short."""
    return _HELD.sub(lambda match: f"{match['before'] or match['name']}{hidden}", target)


def _layers(uri: str) -> Iterator[str]:
    """``uri``, and what stands percent-encoded in it."""
    yield uri
    while (decoded := unquote(uri)) != uri:
        yield (uri := decoded)


def _values(text: str) -> Iterator[bytes]:
    for variable in _VARIABLE.findall(text):
        yield os.environb.get(variable.encode(), b"")
    for place in _PATH.findall(text):
        path = Path("/" + place.lstrip("/"))
        if _is_private(path):
            yield from _in_file(path.read_bytes())


def _is_private(path: Path) -> bool:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077 and status.st_size <= _MOST_LEN


def _in_file(data: bytes) -> Iterator[bytes]:
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        yield data.splitlines()[0].strip() if data.strip() else b""
        return
    for name, value in fields.items():
        if _NAME.fullmatch(name) and isinstance(value, str):
            # what JSON can escape, but UTF-8 cannot say, no program would log either
            yield value.encode(errors="replace")
            try:
                yield base64.b64decode(value, validate=True)
            except ValueError:
                continue
