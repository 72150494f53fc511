# SPDX-License-Identifier: Apache-2.0
"""Verifies SLH-DSA-SHAKE-256f with an empty context in plain Python, from FIPS 205, for the independent implementation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import shake_256

N, LAYERS, HEIGHT, FORS_HEIGHT, FORS_TREES = 32, 17, 4, 9, 35
DIGITS = 67
"""Of WOTS+: 64 of what is signed, 3 of their sum; each has 4 bits."""
XMSS_LEN = (DIGITS + HEIGHT) * N
FORS_LEN = FORS_TREES * (1 + FORS_HEIGHT) * N
PUBLIC_LEN, SIGNATURE_LEN = 2 * N, N + FORS_LEN + LAYERS * XMSS_LEN
WOTS_HASH, WOTS_PUBLIC, TREE, FORS_TREE, FORS_ROOTS = range(5)


@dataclass(frozen=True)
class Address:
    """Section 4.2; what the two last fields count depends on the kind."""

    layer: int
    tree: int
    kind: int = WOTS_HASH
    pair: int = 0
    first: int = 0
    second: int = 0

    def encode(self) -> bytes:
        fields = (self.layer, 4), (self.tree, 12), (self.kind, 4), (self.pair, 4), (self.first, 4), (self.second, 4)
        return b"".join(value.to_bytes(length) for value, length in fields)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Algorithms 20 and 24. Raises: ValueError: no public key."""
    if len(public) != PUBLIC_LEN:
        raise ValueError("no public key")
    if len(signature) != SIGNATURE_LEN:
        return False
    seed, root = public[:N], public[N:]
    digest = shake_256(signature[:N] + seed + root + b"\x00\x00" + message).digest(49)
    tree, leaf = int.from_bytes(digest[40:48]), digest[48] % (1 << HEIGHT)
    node = _fors_root(seed, signature[N : N + FORS_LEN], digest[:40], Address(0, tree, FORS_TREE, leaf))
    for layer in range(LAYERS):
        begin = N + FORS_LEN + layer * XMSS_LEN
        node = _xmss_root(seed, signature[begin : begin + XMSS_LEN], node, Address(layer, tree, pair=leaf))
        tree, leaf = tree >> HEIGHT, tree % (1 << HEIGHT)
    return node == root


def _hash(seed: bytes, address: Address, data: bytes) -> bytes:
    return shake_256(seed + address.encode() + data).digest(N)


def _digits(data: bytes, bits: int, count: int) -> list[int]:
    """Algorithm 4."""
    whole, length = int.from_bytes(data), 8 * len(data)
    return [whole >> length - bits * (i + 1) & (1 << bits) - 1 for i in range(count)]


def _parts(data: bytes) -> list[bytes]:
    return [data[at : at + N] for at in range(0, len(data), N)]


def _climb(seed: bytes, node: bytes, path: list[bytes], index: int, address: Address) -> bytes:
    """From a leaf to the root."""
    for height, other in enumerate(path, 1):
        pair, index = (other + node if index % 2 else node + other), index // 2
        node = _hash(seed, replace(address, first=height, second=index), pair)
    return node


def _fors_root(seed: bytes, signature: bytes, digest: bytes, address: Address) -> bytes:
    """Algorithm 17."""
    parts, roots = _parts(signature), []
    for number, digit in enumerate(_digits(digest, FORS_HEIGHT, FORS_TREES)):
        begin, index = number * (1 + FORS_HEIGHT), (number << FORS_HEIGHT) + digit
        leaf = _hash(seed, replace(address, second=index), parts[begin])
        roots.append(_climb(seed, leaf, parts[begin + 1 : begin + 1 + FORS_HEIGHT], index, address))
    return _hash(seed, replace(address, kind=FORS_ROOTS), b"".join(roots))


def _xmss_root(seed: bytes, signature: bytes, message: bytes, address: Address) -> bytes:
    """Algorithms 8 and 11."""
    parts, digits = _parts(signature), _digits(message, 4, 64)
    total = sum(15 - digit for digit in digits)
    digits += _digits((total << 4).to_bytes(2), 4, 3)
    ends = []
    for chain, (digit, value) in enumerate(zip(digits, parts, strict=False)):
        prefix = seed + replace(address, first=chain).encode()[:-4]
        for step in range(digit, 15):
            value = shake_256(prefix + step.to_bytes(4) + value).digest(N)  # noqa: PLW2901
        ends.append(value)
    leaf = _hash(seed, replace(address, kind=WOTS_PUBLIC), b"".join(ends))
    return _climb(seed, leaf, parts[DIGITS:], address.pair, replace(address, kind=TREE, pair=0))
