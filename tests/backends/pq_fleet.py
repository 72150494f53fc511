# SPDX-License-Identifier: Apache-2.0
"""A device (identity 0) and a C2 (identity 1) of every post-quantum suite, and one command between them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from e4backends.pairs import Kem, PairedIdentity, Pairs, SignatureScheme
from e4core.suite import PrivateKey, Signature
from tests.backends.oqs_here import MODULES, identity, suite

SUITES = pytest.mark.parametrize("name", MODULES)
INFO, HEADER = b"\x0eE4.2 command\x02pq" + b"\7" * 16, b"\2\1" + bytes(range(24))
COMMAND = b"what the device shall do"


def signature_of(name: str) -> Signature:
    part = suite(name).signature
    assert part is not None
    return part


def parts_of(name: str) -> tuple[SignatureScheme, Kem]:
    part = suite(name).device
    assert isinstance(part, PairedIdentity)
    return part.scheme, part.kem


def pairs_of(private: PrivateKey) -> Pairs:
    assert isinstance(private, Pairs)
    return private


@cache
def signed(name: str) -> bytes:
    return signature_of(name).signer(identity(name, 0)[0]).sign(COMMAND)


@cache
def container(name: str) -> bytes:
    """A command of the C2 (identity 1) to the device (identity 0)."""
    c2, (_, device_public) = identity(name, 1)[0], identity(name, 0)
    return suite(name).control.at_c2(c2, device_public).seal(INFO, HEADER, COMMAND)


def opened(name: str, body: bytes, info: bytes = INFO, header: bytes = HEADER, peer: int = 1) -> bytes:
    channel = suite(name).control.at_device(identity(name, 0)[0], identity(name, peer)[1])
    return channel.open(info, header, body)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def places(length: int) -> Iterator[int]:
    """Bits, evenly spread: one of every byte, or some five hundred of what is long."""
    return (8 * byte + byte % 8 for byte in range(0, length, 1 if length < 2000 else length // 500))
