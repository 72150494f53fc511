# SPDX-License-Identifier: Apache-2.0
"""P-256 (SP 800-186): ECDSA with SHA-256 (FIPS 186-5), and ephemeral-static ECDH (SP 800-56A revision 3) in the shape of a KEM.

Private keys are stored as their scalar, 32 bytes, big-endian; public ones are the uncompressed point, 65 bytes. `KeyHandle`s do for
private keys that stay in a token. All lengths are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret
from e4core.suite import KeyHandle

SCALAR_LEN = 32
POINT_LEN = 65
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_UNCOMPRESSED = 4
_CURVE = SECP256R1()
_ECDSA = ECDSA(SHA256())
_ECDH = ECDH()


class Ecdsa:
    """Signature: r | s, 32 bytes each, big-endian. Of one signature (r, n - s) is another: it must not serve as an identifier."""

    private_len = SCALAR_LEN
    public_len = POINT_LEN
    signature_len = 2 * SCALAR_LEN
    handle_algorithm = "P-256 (ECDSA)"

    def generate(self) -> bytes:
        return _generated()

    def key(self, stored: bytes, /) -> _SigningKey:
        return _SigningKey(_private(stored))

    def in_token(self, handle: KeyHandle, /) -> _SigningKeyInToken:
        return _SigningKeyInToken(handle)

    def verifier(self, public: bytes, /) -> _Verifier:
        return _Verifier(_public(public))


class Ecdh:
    """Ciphertext: the ephemeral public key. Secret: Z, the x-coordinate of the common point, 32 bytes; to be put through a KDF that
    takes in both public keys."""

    private_len = SCALAR_LEN
    public_len = POINT_LEN
    ciphertext_len = POINT_LEN
    handle_algorithm = "P-256 (ECDH)"

    def generate(self) -> bytes:
        return _generated()

    def key(self, stored: bytes, /) -> _AgreementKey:
        return _AgreementKey(_private(stored))

    def in_token(self, handle: KeyHandle, /) -> _AgreementKeyInToken:
        return _AgreementKeyInToken(handle)

    def check(self, public: bytes, /) -> None:
        _public(public)

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        peer, ephemeral = _public(public), generate_private_key(_CURVE)
        return _encoded(ephemeral), Secret(ephemeral.exchange(_ECDH, peer))


class _SigningKey:
    __slots__ = ("_private", "public")

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = _encoded(private)

    def sign(self, message: bytes, /) -> bytes:
        return concatenated(self._private.sign(message, _ECDSA))


class _AgreementKey:
    __slots__ = ("_private", "public")

    def __init__(self, private: EllipticCurvePrivateKey) -> None:
        self._private = private
        self.public = _encoded(private)

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        return Secret(self._private.exchange(_ECDH, _ephemeral(ciphertext)))


@dataclass(frozen=True, slots=True)
class _SigningKeyInToken:
    handle: KeyHandle

    @property
    def public(self) -> bytes:
        return self.handle.public()

    def sign(self, message: bytes, /) -> bytes:
        return self.handle.sign(message)


@dataclass(frozen=True, slots=True)
class _AgreementKeyInToken:
    handle: KeyHandle

    @property
    def public(self) -> bytes:
        return self.handle.public()

    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        _ephemeral(ciphertext)
        return self.handle.agree(ciphertext)


class _Verifier:
    __slots__ = ("_public",)

    def __init__(self, public: EllipticCurvePublicKey) -> None:
        self._public = public

    def verify(self, message: bytes, signature: bytes, /) -> None:
        r, s = int.from_bytes(signature[:SCALAR_LEN], "big"), int.from_bytes(signature[SCALAR_LEN:], "big")
        if len(signature) != 2 * SCALAR_LEN or not (0 < r < ORDER and 0 < s < ORDER):
            raise _bad_signature()
        try:
            self._public.verify(encode_dss_signature(r, s), message, _ECDSA)
        except InvalidSignature:
            raise _bad_signature() from None


def concatenated(signature: bytes) -> bytes:
    """r | s of an ECDSA-Sig-Value (RFC 3279, section 2.2.3) that the library has made.

    Every length in it is one byte, and every number has a leading zero or is shorter, as DER wants it. By slices, as a detour
    through integers costs a tenth of the signature.
    """
    second = 4 + signature[3]
    return _number(signature[4:second]) + _number(signature[second + 2 :])


def _number(encoded: bytes) -> bytes:
    return encoded[-SCALAR_LEN:].rjust(SCALAR_LEN, b"\0")


def _generated() -> Secret:
    return Secret(generate_private_key(_CURVE).private_numbers().private_value.to_bytes(SCALAR_LEN, "big"))


def _private(stored: bytes) -> EllipticCurvePrivateKey:
    scalar = int.from_bytes(stored, "big")
    if len(stored) != SCALAR_LEN or not 0 < scalar < ORDER:
        raise InvalidInput(
            f"a private key of P-256 is {SCALAR_LEN} bytes long, not zero, and below the order of the curve",
            kind="bad_key",
        )
    return derive_private_key(scalar, _CURVE)


def _public(encoded: bytes) -> EllipticCurvePublicKey:
    """Full validation (SP 800-56A revision 3, section 5.6.2.3.3); the cofactor is 1, so every point has the right order."""
    key = _point(encoded)
    if key is None:
        raise InvalidInput(
            f"a public key of P-256 is an uncompressed point of the curve, {POINT_LEN} bytes", kind="bad_key"
        )
    return key


def _ephemeral(ciphertext: bytes) -> EllipticCurvePublicKey:
    key = _point(ciphertext)
    if key is None:
        raise AuthenticationFailed
    return key


def _point(encoded: bytes) -> EllipticCurvePublicKey | None:
    """None: not of this form, a coordinate that is not below the field's prime, or not on the curve."""
    if len(encoded) != POINT_LEN or encoded[0] != _UNCOMPRESSED:
        return None
    try:
        return EllipticCurvePublicKey.from_encoded_point(_CURVE, encoded)
    except ValueError:
        return None


def _encoded(private: EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _bad_signature() -> AuthenticationFailed:
    return AuthenticationFailed("the signature does not verify", kind="bad_signature")
