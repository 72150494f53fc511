# SPDX-License-Identifier: Apache-2.0
"""X-Wing (draft-connolly-cfrg-xwing-kem), whole and unchanged: ML-KEM-768 of `cryptography`, X25519 of libsodium.

It holds while one of the two holds. All lengths are in bytes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from nacl import bindings

from e4backends import checks
from e4backends.pairs import KemKey
from e4backends.pq_pyca import MlKem768
from e4backends.sodium import x25519
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret

_LABEL = bytes.fromhex("5c2e2f2f5e5c")  # the drawing of an X-wing in two lines
_ML_KEM = MlKem768()
_CUT = _ML_KEM.public_len
_CIPHERTEXT_CUT = _ML_KEM.ciphertext_len


def combine(ml_kem: bytes, x: bytes, x_ciphertext: bytes, x_public: bytes) -> Secret:
    """The shared secret, 32 bytes (section 5.3 of the draft); the ML-KEM ciphertext is bound by ML-KEM itself."""
    return Secret(hashlib.sha3_256(ml_kem + x + x_ciphertext + x_public + _LABEL).digest())


def agree(scalar: bytes, u: bytes) -> bytes:
    """X25519 of RFC 7748 without its optional check: X-Wing hashes an all-zero result like any other."""
    try:
        return x25519(scalar, u)
    except InvalidInput:
        return bytes(32)  # libsodium refuses exactly the points for which this is the result


@dataclass(frozen=True, slots=True)
class _Key:
    ml_kem: KemKey
    x: Secret
    x_public: bytes

    @property
    def public(self) -> bytes:
        return self.ml_kem.public + self.x_public

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        if len(ciphertext) != XWing.ciphertext_len:
            raise AuthenticationFailed
        x_ciphertext = bytes(ciphertext[_CIPHERTEXT_CUT:])
        ml_kem = self.ml_kem.decapsulate(ciphertext[:_CIPHERTEXT_CUT])
        return combine(ml_kem, agree(self.x, x_ciphertext), x_ciphertext, self.x_public)


class XWing:
    """Stored: the seed, from which SHAKE256 makes the ML-KEM seed (64) and the X25519 scalar (32). Public: ML-KEM, then X25519."""

    private_len = 32
    public_len = 1216
    ciphertext_len = 1120

    def generate(self) -> bytes:
        return Secret(os.urandom(self.private_len))

    def key(self, stored: bytes, /) -> _Key:
        seed = checks.private_key(stored, self.private_len, "X-Wing")
        expanded = Secret(hashlib.shake_256(seed).digest(96))
        x = Secret(expanded[64:])
        return _Key(_ML_KEM.key(Secret(expanded[:64])), x, bindings.crypto_scalarmult_base(x))

    def check(self, public: bytes, /) -> None:
        _ML_KEM.check(checks.public_key(public, self.public_len, "X-Wing")[:_CUT])

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        public = checks.public_key(public, self.public_len, "X-Wing")
        ml_kem_ciphertext, ml_kem = _ML_KEM.encapsulate(public[:_CUT])
        ephemeral, x_public = Secret(os.urandom(32)), public[_CUT:]
        x_ciphertext = bindings.crypto_scalarmult_base(ephemeral)
        return ml_kem_ciphertext + x_ciphertext, combine(ml_kem, agree(ephemeral, x_public), x_ciphertext, x_public)
