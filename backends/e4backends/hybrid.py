# SPDX-License-Identifier: Apache-2.0
"""Two signatures of which both must verify, and the suite ``pq-hybrid``: it holds while either half of each pair holds."""

from __future__ import annotations

import os
from dataclasses import dataclass

from nacl import bindings

from e4backends import checks
from e4backends.pairs import SignatureKey, SignatureScheme, paired_suite
from e4backends.pq_pyca import MlDsa65
from e4backends.pyca import Siv
from e4backends.sodium import Ed25519Signature
from e4backends.xwing import XWing
from e4core.errors import AuthenticationFailed
from e4core.keys import Secret
from e4core.suite import Verifier


@dataclass(frozen=True, slots=True)
class _Ed25519Key:
    public: bytes
    _private: Secret

    def sign(self, message: bytes, /) -> bytes:
        return bindings.crypto_sign(message, self._private)[:64]


class Ed25519:
    """Ed25519 (RFC 8032, pure) by libsodium. Stored: the seed."""

    private_len = 32
    public_len = 32
    signature_len = 64

    def generate(self) -> bytes:
        return Secret(os.urandom(self.private_len))

    def key(self, stored: bytes, /) -> _Ed25519Key:
        public, private = bindings.crypto_sign_seed_keypair(checks.private_key(stored, self.private_len, "Ed25519"))
        return _Ed25519Key(public, Secret(private))

    def verifier(self, public: bytes, /) -> Verifier:
        return Ed25519Signature().verifier(public)


@dataclass(frozen=True, slots=True)
class _BothKeys:
    first: SignatureKey
    second: SignatureKey

    @property
    def public(self) -> bytes:
        return self.first.public + self.second.public

    def sign(self, message: bytes, /) -> bytes:
        return self.first.sign(message) + self.second.sign(message)


@dataclass(frozen=True, slots=True)
class _BothVerify:
    first: Verifier
    second: Verifier
    cut: int
    signature_len: int

    def verify(self, message: bytes, signature: bytes, /) -> None:
        """Both are computed whatever the first says, so that time does not tell which one failed."""
        good = (
            _verifies(self.first, message, signature[: self.cut]),
            _verifies(self.second, message, signature[self.cut :]),
            len(signature) == self.signature_len,
        )
        if not all(good):
            raise AuthenticationFailed("the signature does not verify", kind="bad_signature")


@dataclass(frozen=True, slots=True)
class Both:
    """Two schemes over the same message. Keys and signatures: those of the first, then those of the second."""

    first: SignatureScheme
    second: SignatureScheme

    @property
    def private_len(self) -> int:
        return self.first.private_len + self.second.private_len

    @property
    def public_len(self) -> int:
        return self.first.public_len + self.second.public_len

    @property
    def signature_len(self) -> int:
        return self.first.signature_len + self.second.signature_len

    def generate(self) -> bytes:
        return Secret(self.first.generate() + self.second.generate())

    def key(self, stored: bytes, /) -> _BothKeys:
        stored, cut = checks.private_key(stored, self.private_len, "two signatures"), self.first.private_len
        return _BothKeys(self.first.key(Secret(stored[:cut])), self.second.key(Secret(stored[cut:])))

    def verifier(self, public: bytes, /) -> _BothVerify:
        public, cut = checks.public_key(public, self.public_len, "two signatures"), self.first.public_len
        first, second = self.first.verifier(public[:cut]), self.second.verifier(public[cut:])
        return _BothVerify(first, second, self.first.signature_len, self.signature_len)


def _verifies(verifier: Verifier, message: bytes, signature: bytes) -> bool:
    try:
        verifier.verify(message, signature)
    except AuthenticationFailed:
        return False
    return True


SUITE = paired_suite("pq-hybrid", "pq-hybrid", Siv(), Both(Ed25519(), MlDsa65()), XWing())
