# SPDX-License-Identifier: Apache-2.0
"""Suites of Format 2 by wire name: the installed ones, and where there is none, one of small parts over `cryptography`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from e4backends.pairs import paired_suite
from e4backends.pyca import Siv
from e4backends.sk import symmetric_suite
from e4core.errors import AuthenticationFailed, InvalidInput, PluginError
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4core.suite import Suite, Verifier
from tests.core.suites2 import Gcm

_P256, _ECDSA = ec.SECP256R1(), ec.ECDSA(SHA256())


def _scalar(stored: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(stored), _P256)


def _encoded(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _point(public: bytes) -> ec.EllipticCurvePublicKey:
    try:
        if len(public) != 65:
            raise ValueError
        return ec.EllipticCurvePublicKey.from_encoded_point(_P256, public)
    except ValueError:
        raise InvalidInput("no point of P-256", kind="bad_key") from None


def _generated() -> bytes:
    return Secret(ec.generate_private_key(_P256).private_numbers().private_value.to_bytes(32))


class _P256Key:
    def __init__(self, stored: bytes) -> None:
        self._private = _scalar(stored)
        self.public = _encoded(self._private.public_key())

    def sign(self, message: bytes, /) -> bytes:
        r, s = decode_dss_signature(self._private.sign(message, _ECDSA))
        return r.to_bytes(32) + s.to_bytes(32)

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        try:
            return Secret(self._private.exchange(ec.ECDH(), _point(ciphertext)))
        except InvalidInput:
            raise AuthenticationFailed from None


@dataclass(frozen=True)
class _EcdsaVerifier:
    public: ec.EllipticCurvePublicKey

    def verify(self, message: bytes, signature: bytes, /) -> None:
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        try:
            self.public.verify(encode_dss_signature(r, s), message, _ECDSA)
        except InvalidSignature:
            raise AuthenticationFailed(kind="bad_signature") from None


class _Ecdsa:
    private_len, public_len, signature_len = 32, 65, 64

    def generate(self) -> bytes:
        return _generated()

    def key(self, stored: bytes, /) -> _P256Key:
        return _P256Key(stored)

    def verifier(self, public: bytes, /) -> Verifier:
        return _EcdsaVerifier(_point(public))


class _Ecdh:
    private_len, public_len, ciphertext_len = 32, 65, 65

    def generate(self) -> bytes:
        return _generated()

    def key(self, stored: bytes, /) -> _P256Key:
        return _P256Key(stored)

    def check(self, public: bytes, /) -> None:
        _point(public)

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        ephemeral = ec.generate_private_key(_P256)
        return _encoded(ephemeral.public_key()), Secret(ephemeral.exchange(ec.ECDH(), _point(public)))


class _DsaKey:
    def __init__(self, seed: bytes) -> None:
        key = MLDSA65PrivateKey.from_seed_bytes(bytes(seed))
        self.sign = key.sign
        self.public = key.public_key().public_bytes_raw()


@dataclass(frozen=True)
class _DsaVerifier:
    public: MLDSA65PublicKey

    def verify(self, message: bytes, signature: bytes, /) -> None:
        try:
            self.public.verify(signature, message)
        except InvalidSignature:
            raise AuthenticationFailed(kind="bad_signature") from None


class _MlDsa:
    private_len, public_len, signature_len = 32, 1952, 3309

    def generate(self) -> bytes:
        return Secret(MLDSA65PrivateKey.generate().private_bytes_raw())

    def key(self, stored: bytes, /) -> _DsaKey:
        return _DsaKey(stored)

    def verifier(self, public: bytes, /) -> Verifier:
        try:
            return _DsaVerifier(MLDSA65PublicKey.from_public_bytes(public))
        except ValueError:
            raise InvalidInput("no public key of ML-DSA-65", kind="bad_key") from None


class _KemKey:
    def __init__(self, seed: bytes) -> None:
        self._key = MLKEM768PrivateKey.from_seed_bytes(bytes(seed))
        self.public = self._key.public_key().public_bytes_raw()

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        return Secret(self._key.decapsulate(ciphertext))


class _MlKem:
    private_len, public_len, ciphertext_len = 64, 1184, 1088

    def generate(self) -> bytes:
        return Secret(MLKEM768PrivateKey.generate().private_bytes_raw())

    def key(self, stored: bytes, /) -> _KemKey:
        return _KemKey(stored)

    def check(self, public: bytes, /) -> None:
        self._peer(public)

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        secret, ciphertext = self._peer(public).encapsulate()
        return ciphertext, Secret(secret)

    def _peer(self, public: bytes) -> MLKEM768PublicKey:
        try:
            return MLKEM768PublicKey.from_public_bytes(public)
        except ValueError:
            raise InvalidInput("no public key of ML-KEM-768", kind="bad_key") from None


_OWN = {
    suite.wire_name: suite
    for suite in (
        symmetric_suite("fips-sk", "fips-sk", Gcm()),
        paired_suite("fips-pk", "fips-pk", Gcm(), _Ecdsa(), _Ecdh()),
        paired_suite("pq", "pq", Siv(), _MlDsa(), _MlKem()),
    )
}


@cache
def suite_of(wire_name: str) -> Suite:
    try:
        return load_suite(wire_name)
    except PluginError:
        return _OWN[wire_name]
