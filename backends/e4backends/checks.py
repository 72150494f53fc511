# SPDX-License-Identifier: Apache-2.0
"""What a key must be before a library sees it. All lengths are in bytes."""

from __future__ import annotations

from functools import cache

from e4core.errors import InvalidInput
from e4core.keys import Secret


def private_key(stored: bytes, length: int, what: str) -> Secret:
    """``stored`` as a secret. Raises: InvalidInput (``bad_key``): length, all zero."""
    _check(stored, length, f"private key of {what}")
    return Secret(stored)


def public_key(public: bytes, length: int, what: str) -> bytes:
    """``public`` as bytes. Raises: InvalidInput (``bad_key``): length, all zero."""
    _check(public, length, f"public key of {what}")
    return bytes(public)


def no_key(what: str) -> InvalidInput:
    """The error for bytes that have the length of a key and are none."""
    return InvalidInput(f"this is no {what} key", kind="bad_key")


def fields_below(packed: int, bits: int, count: int, bound: int) -> bool:
    """Whether each of the ``count`` fields of ``bits`` bits in ``packed`` is below ``bound``; for public values only."""
    mask, excess, carries = _masks(bits, count, bound)
    return not any((packed >> shift & mask) + excess & carries for shift in (0, bits))


@cache
def _masks(bits: int, count: int, bound: int) -> tuple[int, int, int]:
    """For every other field: all its bits; what makes ``bound`` overflow; the bit that then is set in the field after it."""
    ones = sum(1 << 2 * bits * place for place in range((count + 1) // 2))
    return ones * ((1 << bits) - 1), ones * ((1 << bits) - bound), ones << bits


def _check(key: bytes, length: int, what: str) -> None:
    if len(key) != length:
        raise InvalidInput(f"a {what} is {length} bytes long, not {len(key)}", kind="bad_key")
    if not any(key):
        raise InvalidInput("an all-zero key is refused", kind="bad_key")
