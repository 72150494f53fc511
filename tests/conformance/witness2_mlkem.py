# SPDX-License-Identifier: Apache-2.0
"""ML-KEM of every size in plain Python, from FIPS 203, for the independent implementation (`tests.conformance.witness2`).

Neither constant in time nor fast. A private key is the seed d | z, 64 bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha3_256, sha3_512, shake_128, shake_256

Q, N = 3329, 256
Poly = list[int]


def _reversed7(value: int) -> int:
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, _reversed7(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _reversed7(i) + 1, Q) for i in range(128)]


@dataclass(frozen=True)
class MlKem:
    """The parameters of section 8; eta2 is 2 in all sets."""

    k: int
    eta1: int
    du: int
    dv: int

    @property
    def public_len(self) -> int:
        return 384 * self.k + 32

    @property
    def ciphertext_len(self) -> int:
        return 32 * (self.du * self.k + self.dv)

    def public(self, seed: bytes) -> bytes:
        return self._expand(seed)[0]

    def check(self, public: bytes) -> None:
        """Section 7.2. Raises: ValueError."""
        if len(public) != self.public_len or any(x >= Q for x in _unpacked(public[:-32], 12)):
            raise ValueError("no encapsulation key")

    def encapsulate(self, public: bytes) -> tuple[bytes, bytes]:
        self.check(public)
        message = os.urandom(32)
        secret, coins = _g(message + sha3_256(public).digest())
        return self._encrypt(public, message, coins), secret

    def decapsulate(self, seed: bytes, ciphertext: bytes) -> bytes:
        if len(ciphertext) != self.ciphertext_len:
            raise ValueError("no ciphertext")
        public, s = self._expand(seed)
        cut = 32 * self.du * self.k
        u = [_decompressed(each, self.du) for each in _polys(ciphertext[:cut], self.du)]
        (packed,) = _polys(ciphertext[cut:], self.dv)
        noisy = _minus(_decompressed(packed, self.dv), _from_ntt(_dot(s, [_ntt(each) for each in u])))
        message = _packed(_compressed(noisy, 1), 1)
        secret, coins = _g(message + sha3_256(public).digest())
        if self._encrypt(public, message, coins) == ciphertext:
            return secret
        return shake_256(seed[32:] + ciphertext).digest(32)

    @cache  # noqa: B019  # there are three
    def _expand(self, seed: bytes) -> tuple[bytes, list[Poly]]:
        """Algorithm 13: the public key, and the secret vector as NTTs."""
        rho, sigma = _g(seed[:32] + bytes([self.k]))
        noise = [_ntt(_sampled(sigma, number, self.eta1)) for number in range(2 * self.k)]
        s, e = noise[: self.k], noise[self.k :]
        t = [_plus(_dot(row, s), error) for row, error in zip(self._matrix(rho), e, strict=True)]
        return b"".join(_packed(each, 12) for each in t) + rho, s

    def _encrypt(self, public: bytes, message: bytes, coins: bytes) -> bytes:
        """Algorithm 14."""
        t, columns = _polys(public[:-32], 12), zip(*self._matrix(public[-32:]), strict=True)
        y = [_ntt(_sampled(coins, number, self.eta1)) for number in range(self.k)]
        errors = [_sampled(coins, self.k + number, 2) for number in range(self.k + 1)]
        u = [_plus(_from_ntt(_dot(column, y)), error) for column, error in zip(columns, errors, strict=False)]
        v = _plus(_plus(_from_ntt(_dot(t, y)), errors[-1]), _decompressed(_unpacked(message, 1), 1))
        parts = [_packed(_compressed(each, self.du), self.du) for each in u]
        return b"".join(parts) + _packed(_compressed(v, self.dv), self.dv)

    def _matrix(self, rho: bytes) -> list[list[Poly]]:
        return [[_uniform(rho + bytes([j, i])) for j in range(self.k)] for i in range(self.k)]


ML_KEM_512, ML_KEM_768, ML_KEM_1024 = MlKem(2, 3, 10, 4), MlKem(3, 2, 10, 4), MlKem(4, 2, 11, 5)


def _g(data: bytes) -> tuple[bytes, bytes]:
    made = sha3_512(data).digest()
    return made[:32], made[32:]


def _uniform(seed: bytes) -> Poly:
    """Algorithm 7; 1,344 bytes are enough but for once in 2^300 times or so."""
    data = shake_128(seed).digest(1344)
    found = [x for x in _unpacked(data, 12) if x < Q]
    return found[:N]


def _sampled(seed: bytes, number: int, eta: int) -> Poly:
    """Algorithm 8."""
    bits = _unpacked(shake_256(seed + bytes([number])).digest(64 * eta), 1)
    sums = [sum(bits[at : at + eta]) for at in range(0, len(bits), eta)]
    return [(sums[2 * i] - sums[2 * i + 1]) % Q for i in range(N)]


def _ntt(poly: Poly) -> Poly:
    """Algorithm 9."""
    f, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i += 1
            for j in range(start, start + length):
                turned = zeta * f[j + length] % Q
                f[j], f[j + length] = (f[j] + turned) % Q, (f[j] - turned) % Q
        length //= 2
    return f


def _from_ntt(poly: Poly) -> Poly:
    """Algorithm 10."""
    f, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[i]
            i -= 1
            for j in range(start, start + length):
                f[j], f[j + length] = (f[j] + f[j + length]) % Q, zeta * (f[j + length] - f[j]) % Q
        length *= 2
    return [x * 3303 % Q for x in f]


def _dot(left: Iterable[Poly], right: Iterable[Poly]) -> Poly:
    """Of vectors of NTTs (algorithms 11 and 12)."""
    total = [0] * N
    for f, g in zip(left, right, strict=True):
        for i in range(128):
            a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
            total[2 * i] += a * c + b * d * GAMMAS[i]
            total[2 * i + 1] += a * d + b * c
    return [x % Q for x in total]


def _plus(f: Poly, g: Poly) -> Poly:
    return [(a + b) % Q for a, b in zip(f, g, strict=True)]


def _minus(f: Poly, g: Poly) -> Poly:
    return [(a - b) % Q for a, b in zip(f, g, strict=True)]


def _compressed(poly: Poly, d: int) -> Poly:
    return [((x << d) + Q // 2) // Q % (1 << d) for x in poly]


def _decompressed(poly: Poly, d: int) -> Poly:
    return [(x * Q + (1 << d - 1)) >> d for x in poly]


def _packed(values: Sequence[int], bits: int) -> bytes:
    """The lowest bit first (algorithm 5)."""
    return sum(x << bits * i for i, x in enumerate(values)).to_bytes(len(values) * bits // 8, "little")


def _unpacked(data: bytes, bits: int) -> list[int]:
    whole, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    return [whole >> bits * i & mask for i in range(len(data) * 8 // bits)]


def _polys(data: bytes, bits: int) -> list[Poly]:
    length = N * bits // 8
    return [_unpacked(data[at : at + length], bits) for at in range(0, len(data), length)]
