# SPDX-License-Identifier: Apache-2.0
"""ML-KEM-768 (FIPS 203) and ML-DSA-65 (FIPS 204) made of `cryptography`, and the suite ``pq-pyca``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from e4backends import checks
from e4backends.pairs import paired_suite
from e4backends.pyca import Siv
from e4core.errors import AuthenticationFailed
from e4core.keys import Secret


@dataclass(frozen=True, slots=True)
class _KemKey:
    public: bytes
    _key: MLKEM768PrivateKey = field(repr=False)

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        """A ciphertext of the right length always gives a secret, a random one if it was changed (implicit rejection)."""
        try:
            return Secret(self._key.decapsulate(ciphertext))
        except ValueError:
            raise AuthenticationFailed from None


class MlKem768:
    """ML-KEM-768. Stored: the seed d | z (FIPS 203 section 7.1)."""

    private_len = 64
    public_len = 1184
    ciphertext_len = 1088

    def generate(self) -> bytes:
        return Secret(os.urandom(self.private_len))

    def key(self, stored: bytes, /) -> _KemKey:
        key = MLKEM768PrivateKey.from_seed_bytes(checks.private_key(stored, self.private_len, "ML-KEM-768"))
        return _KemKey(key.public_key().public_bytes_raw(), key)

    def check(self, public: bytes, /) -> None:
        self._peer(public)

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        secret, ciphertext = self._peer(public).encapsulate()
        return ciphertext, Secret(secret)

    def _peer(self, public: bytes) -> MLKEM768PublicKey:
        """With the check of the encapsulation key of FIPS 203 section 7.2, which the library makes."""
        try:
            return MLKEM768PublicKey.from_public_bytes(checks.public_key(public, self.public_len, "ML-KEM-768"))
        except ValueError as error:
            raise checks.no_key("ML-KEM-768 public") from error


@dataclass(frozen=True, slots=True)
class _SignatureKey:
    public: bytes
    _key: MLDSA65PrivateKey = field(repr=False)

    def sign(self, message: bytes, /) -> bytes:
        return self._key.sign(message)


@dataclass(frozen=True, slots=True)
class _Verifier:
    _key: MLDSA65PublicKey

    def verify(self, message: bytes, signature: bytes, /) -> None:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise AuthenticationFailed("the signature does not verify", kind="bad_signature") from None


class MlDsa65:
    """ML-DSA-65, hedged, empty context. Stored: the seed xi (FIPS 204 section 5.1)."""

    private_len = 32
    public_len = 1952
    signature_len = 3309

    def generate(self) -> bytes:
        return Secret(os.urandom(self.private_len))

    def key(self, stored: bytes, /) -> _SignatureKey:
        key = MLDSA65PrivateKey.from_seed_bytes(checks.private_key(stored, self.private_len, "ML-DSA-65"))
        return _SignatureKey(key.public_key().public_bytes_raw(), key)

    def verifier(self, public: bytes, /) -> _Verifier:
        return _Verifier(MLDSA65PublicKey.from_public_bytes(checks.public_key(public, self.public_len, "ML-DSA-65")))


def available() -> None:
    """Raises: ImportError: this `cryptography` is without the algorithms of this module."""
    try:
        MlKem768().key(b"\1" * 64)
        MlDsa65().key(b"\1" * 32)
    except (UnsupportedAlgorithm, ValueError) as error:  # the latter on a FIPS provider that has none
        raise ImportError(
            "cryptography has no ML-KEM-768 and ML-DSA-65 here; install the wheel with pip install 'cryptography>=50',"
            " and use no FIPS provider of OpenSSL"
        ) from error


available()
SUITE = paired_suite("pq-pyca", "pq", Siv(), MlDsa65(), MlKem768())
