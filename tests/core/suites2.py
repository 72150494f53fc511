# SPDX-License-Identifier: Apache-2.0
"""Suites of Format 2 for tests: small parts over `cryptography`, so that the core is tried with every shape of suite."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from e4backends.pairs import paired_suite
from e4backends.pyca import Siv
from e4backends.sk import symmetric_suite
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret
from e4core.suite import Suite


class _GcmKey:
    __slots__ = ("open", "seal")

    def __init__(self, key: bytes) -> None:
        gcm = AESGCM(key)
        self.seal = gcm.encrypt
        decrypt = gcm.decrypt

        def open_(nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
            try:
                return decrypt(nonce, ciphertext, associated_data)
            except InvalidTag:
                raise AuthenticationFailed from None

        self.open = open_


class Gcm:
    """AES-256-GCM."""

    key_len = 32
    nonce_len = 12
    tag_len = 16

    def key(self, raw: bytes, /) -> _GcmKey:
        return _GcmKey(raw)


@dataclass(frozen=True)
class _Verifier:
    public: Ed25519PublicKey

    def verify(self, message: bytes, signature: bytes, /) -> None:
        try:
            self.public.verify(signature, message)
        except InvalidSignature:
            raise AuthenticationFailed(kind="bad_signature") from None


class _SignatureKey:
    def __init__(self, stored: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(stored)
        self.sign = self._private.sign

    @cached_property
    def public(self) -> bytes:
        return self._private.public_key().public_bytes_raw()


class Ed25519:
    private_len = 32
    public_len = 32
    signature_len = 64

    def generate(self) -> bytes:
        return Secret(Ed25519PrivateKey.generate().private_bytes_raw())

    def key(self, stored: bytes, /) -> _SignatureKey:
        return _SignatureKey(stored)

    def verifier(self, public: bytes, /) -> _Verifier:
        if len(public) != 32 or not any(public):
            raise InvalidInput("no Ed25519 public key", kind="bad_key")
        return _Verifier(Ed25519PublicKey.from_public_bytes(public))


class _KemKey:
    def __init__(self, stored: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(stored)
        self.public = self._private.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        try:
            return Secret(self._private.exchange(X25519PublicKey.from_public_bytes(ciphertext)))
        except ValueError:
            raise AuthenticationFailed from None


class X25519:
    """Ephemeral to static; the ciphertext is the ephemeral public key."""

    private_len = 32
    public_len = 32
    ciphertext_len = 32

    def generate(self) -> bytes:
        return Secret(X25519PrivateKey.generate().private_bytes_raw())

    def key(self, stored: bytes, /) -> _KemKey:
        return _KemKey(stored)

    def check(self, public: bytes, /) -> None:
        if len(public) != 32 or not any(public):
            raise InvalidInput("no X25519 public key", kind="bad_key")

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        ephemeral = X25519PrivateKey.generate()
        secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        return ephemeral.public_key().public_bytes_raw(), Secret(secret)


SIV_SK = symmetric_suite("t-siv-sk", "t-siv-sk", Siv())
GCM_SK = symmetric_suite("t-gcm-sk", "t-gcm-sk", Gcm())
SIV_PK = paired_suite("t-siv-pk", "t-siv-pk", Siv(), Ed25519(), X25519())
GCM_PK = paired_suite("t-gcm-pk", "t-gcm-pk", Gcm(), Ed25519(), X25519())

SUITES = {suite.name: suite for suite in (SIV_SK, GCM_SK, SIV_PK, GCM_PK)}


def suite_named(name: str) -> Suite:
    """Stands for `e4core.plugins.load_suite`."""
    return SUITES[name]
