# SPDX-License-Identifier: Apache-2.0
"""Verifies Falcon-512 in plain Python, from round 3's specification, section 3, for the independent implementation."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_256

Q, N = 12289, 512
HEADER = {"public": 0x09, "signature": 0x39}
"""Each with the 9 of 2^9 = 512."""
PUBLIC_LEN, SIGNATURE_LEN, NONCE_LEN = 897, 666, 40
BOUND = 34_034_726
"""Of the square of the length of a signature."""


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Raises: ValueError: no public key."""
    h = _public(public)
    s2 = _short(signature[1 + NONCE_LEN :]) if signature[:1] == bytes([HEADER["signature"]]) else None
    if s2 is None or len(signature) != SIGNATURE_LEN:
        return False
    hashed = _hashed(signature[1 : 1 + NONCE_LEN] + message)
    s1 = [_centred(c - product) for c, product in zip(hashed, _product(s2, h), strict=True)]
    return sum(x * x for x in (*s1, *s2)) <= BOUND


def _public(public: bytes) -> list[int]:
    whole = int.from_bytes(public[1:])
    values = [whole >> 14 * (N - 1 - i) & 0x3FFF for i in range(N)]
    if len(public) != PUBLIC_LEN or public[0] != HEADER["public"] or max(values) >= Q:
        raise ValueError("no public key")
    return values


def _hashed(data: bytes) -> list[int]:
    """Algorithm 3; 2,048 bytes are more than are ever needed."""
    stream = shake_256(data).digest(2048)
    pairs = (int.from_bytes(stream[at : at + 2]) for at in range(0, len(stream), 2))
    return [value % Q for value in pairs if value < 5 * Q][:N]


def _short(data: bytes) -> list[int] | None:
    """Algorithm 18: sign, 7 low bits, the rest in unary; zeros after the last. None: it is no such string."""
    bits, at, values = f"{int.from_bytes(data):0{8 * len(data)}b}", 0, []
    for _ in range(N):
        end = bits.find("1", at + 8)
        if end < 0:
            return None
        size = int(bits[at + 1 : at + 8], 2) + 128 * (end - at - 8)
        if bits[at] == "1" and not size:
            return None
        values.append(-size if bits[at] == "1" else size)
        at = end + 1
    return None if "1" in bits[at:] else values


def _product(f: Sequence[int], g: Sequence[int]) -> list[int]:
    """Modulo x^512 + 1, by one product of two long integers: 40 bits a coefficient are enough."""
    wide = _joined(f) * _joined(g)
    data = wide.to_bytes(10 * N, "little")
    sums = [int.from_bytes(data[5 * i : 5 * i + 5], "little") for i in range(2 * N)]
    return [(low - high) % Q for low, high in zip(sums[:N], sums[N:], strict=True)]


def _joined(f: Sequence[int]) -> int:
    return int.from_bytes(b"".join((x % Q).to_bytes(5, "little") for x in f), "little")


def _centred(value: int) -> int:
    return (value + Q // 2) % Q - Q // 2
