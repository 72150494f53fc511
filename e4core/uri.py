# SPDX-License-Identifier: Apache-2.0
"""What the URIs of KMSes and transports have in common: ``?name=value&name=value``, parsed strictly, no secret repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from e4core.errors import InvalidInput

Option = tuple[str, Callable[[str], Any], str]
"""Field, parser (raises ValueError or KeyError), and what a value is, for who gave another one."""


def refuse(text: str) -> NoReturn:
    """Raises: InvalidInput (``bad_uri``), without what led to it, which may hold a secret."""
    raise InvalidInput(text, kind="bad_uri") from None


def options(
    what: str, query: str, known: Mapping[str, Option], misplaced: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Fields by name.

    Args: what: ``a vault URI``.  misplaced: options that people give by mistake -> what to do instead.
    Raises: InvalidInput (``bad_uri``).
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        refuse(f"the options of {what} have the form ?name=value&name=value")
    found: dict[str, Any] = {}
    for name, text in pairs:
        if name in (misplaced or {}):
            refuse(f"{name} does not belong into {what}; {(misplaced or {})[name]}")
        # the name is not repeated: who forgets it may have a secret in its place
        field, parse, meaning = known.get(name) or refuse(f"{what} has an unknown option; known: {', '.join(known)}")
        if field in found:
            refuse(f"the option {name} stands twice in {what}")
        try:
            found[field] = parse(text)
        except (ValueError, KeyError):
            refuse(f"the option {name} of {what} is {meaning}")
    return found


def path(text: str) -> Path:
    """Raises: ValueError."""
    if not text or "\0" in text:
        raise ValueError
    return Path(text)


def seconds(most: float) -> Callable[[str], float]:
    """A parser of seconds above 0, at most ``most``."""

    def parse(text: str) -> float:
        if not 0 < (found := float(text)) <= most:
            raise ValueError
        return found

    return parse


def is_loopback(host: str) -> bool:
    """Whether ``host``, a name or an address, is this very machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
