# SPDX-License-Identifier: Apache-2.0
"""Which keys may enter a device (``wire.md`` section 13), from the arithmetic of the curves; raises `E4goError` (``bad_key``)."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.interop.e4go_crypto import D, P, checked, require, x25519


def check_symmetric(key: bytes) -> None:
    require(any(key[:32]), "bad_key", "all zeros")


def check_private(private: bytes) -> None:
    checked(private, 64, "private key")
    public = Ed25519PrivateKey.from_private_bytes(private[:32]).public_key().public_bytes_raw()
    require(public == private[32:], "bad_key", "the public half of another seed")


def check_x25519(public: bytes) -> None:
    require(int.from_bytes(public, "little") < P, "bad_key", "not canonical")
    x25519(bytes([1]) * 32, public)


def check_ed25519(public: bytes) -> None:
    """RFC 8032 section 5.1.3, canonical only, and no point whose eightfold is the neutral element."""
    encoded = int.from_bytes(public, "little")
    y, sign = encoded % 2**255, encoded >> 255
    require(y < P, "bad_key", "not canonical")
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x_squared, (P + 3) // 8, P)
    if x * x % P != x_squared:
        x = x * pow(2, (P - 1) // 4, P) % P
    require(x * x % P == x_squared, "bad_key", "no point")
    require(x != 0 or sign == 0, "bad_key", "not canonical")
    for _ in range(3):
        x, y = doubled(x, y)
    require((x, y) != (0, 1), "bad_key", "low order")


def doubled(x: int, y: int) -> tuple[int, int]:
    product = D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, P) % P,
        (y * y + x * x) * pow(1 - product, -1, P) % P,
    )


CHECKS: dict[tuple[str, int], Callable[[bytes], None]] = {
    ("sk", 3): check_symmetric,
    ("pk", 3): check_symmetric,
    ("pk", 2): check_private,
    ("pk", 6): lambda arguments: check_ed25519(arguments[:32]),
    ("pk", 7): check_x25519,
}
"""Suite and opcode -> what must hold of the arguments before anything changes."""
