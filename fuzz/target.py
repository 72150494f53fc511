# SPDX-License-Identifier: Apache-2.0
"""What a target of fuzzing is, and what all of them say of what they are given: refused in order, or else what must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from e4core.errors import E4Error

T = TypeVar("T")

Check = Callable[[bytes], None]
"""Gives an input to what is examined; whatever this raises is a finding."""


@dataclass(frozen=True, slots=True)
class Target:
    """A parser of bytes from outside.

    Attributes: opened: what the checks share, for as long as it is open.  seeds: inputs to begin with, most of them accepted.
    words: bytes that mean something there.
    """

    opened: Callable[[], AbstractContextManager[Check]]
    seeds: Callable[[], Iterable[bytes]]
    words: tuple[bytes, ...] = ()


def always(check: Check) -> Callable[[], AbstractContextManager[Check]]:
    """For a check that needs nothing opened."""
    return lambda: nullcontext(check)


def accepted(act: Callable[[], T], *refusals: type[E4Error]) -> T | None:
    """What ``act`` gives; None: it was refused by one of ``refusals``, in a sentence."""
    try:
        return act()
    except refusals as error:
        must(str(error).strip() != "", "a refusal says nothing")
        return None


def text(data: bytes) -> str:
    """Any text, lone surrogates included."""
    return data.decode("utf-8", "surrogateescape")


def quoted(names: str) -> tuple[bytes, ...]:
    """Words for JSON. Args: names: with blanks between them."""
    return tuple(f'"{name}"'.encode() for name in names.split())


def must(holds: bool, otherwise: str) -> None:
    """Args: otherwise: what is wrong if it does not hold."""
    if not holds:
        raise AssertionError(otherwise)
