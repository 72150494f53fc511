# SPDX-License-Identifier: Apache-2.0
"""The curves of key pairs in a token, and in how many words tokens have to be asked for one."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.mechanisms import KDF

from e4core.errors import InvalidInput

SHARED_LEN = 32

_OCTET_STRING = 4
_READABLE = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True, Attribute.TOKEN: False}


@dataclass(frozen=True, slots=True)
class Making:
    """One way to ask for a pair; ``params`` is CKA_EC_PARAMS in DER: an OID, or the name of the curve as a PrintableString."""

    key_type: KeyType
    mechanism: Mechanism
    params: bytes


@dataclass(frozen=True, slots=True)
class Curve:
    """What a pair is for. ``proves(private, public)`` tells whether the halves belong together."""

    name: str
    public_len: int
    use: Attribute
    mechanism: Mechanism
    makings: tuple[Making, ...]
    proves: Callable[[Any, bytes], bool]

    def point(self, encoded: bytes) -> bytes:
        """The public key in CKA_EC_POINT, which is an OCTET STRING in DER, or what should be in it."""
        wrapped = bytes([_OCTET_STRING, self.public_len])
        return encoded.removeprefix(wrapped) if len(encoded) == self.public_len + len(wrapped) else encoded


def ecdh(private: Any, peer: bytes) -> bytes:
    """The raw shared secret, 32 B. Raises: pkcs11.PKCS11Error."""
    secret = private.derive_key(
        KeyType.GENERIC_SECRET,
        SHARED_LEN * 8,
        mechanism=Mechanism.ECDH1_DERIVE,
        mechanism_param=(KDF.NULL, None, peer),
        capabilities=0,
        template={**_READABLE, Attribute.CLASS: ObjectClass.SECRET_KEY},
    )
    try:
        value: bytes = secret[Attribute.VALUE]
    finally:
        secret.destroy()
    return value


def ecdsa(private: Any, message: bytes) -> bytes:
    """r | s, 32 B each. The token gets the hash, as not all of them hash. Raises: pkcs11.PKCS11Error."""
    signature: bytes = private.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA)
    return signature


def eddsa(private: Any, message: bytes) -> bytes:
    """64 B. Raises: pkcs11.PKCS11Error."""
    signature: bytes = private.sign(message, mechanism=Mechanism.EDDSA)
    return signature


def checked_peer(curve: Curve, peer: bytes) -> bytes:
    """Raises: InvalidInput (``bad_key``): no public key of this curve, or one of low order."""
    try:
        if curve is P256_AGREE:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), peer)
        else:
            # low order gives the same zeros with every key, and tokens differ in what they say then (RFC 7748, section 6.1)
            x25519.X25519PrivateKey.generate().exchange(x25519.X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        peer = b""
    if len(peer) != curve.public_len:
        raise InvalidInput(f"this is no public key of {curve.name}, which has {curve.public_len} bytes", kind="bad_key")
    return peer


def _p256_agrees(private: Any, public: bytes) -> bool:
    own = ec.generate_private_key(ec.SECP256R1())
    peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    half = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return own.exchange(ec.ECDH(), peer) == ecdh(private, half)


def _x25519_agrees(private: Any, public: bytes) -> bool:
    own = x25519.X25519PrivateKey.generate()
    shared = own.exchange(x25519.X25519PublicKey.from_public_bytes(public))
    return shared == ecdh(private, own.public_key().public_bytes_raw())


def _p256_signs(private: Any, public: bytes) -> bool:
    message = os.urandom(32)
    signature = ecdsa(private, message)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    return _is_valid(lambda: key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256())))


def _ed25519_signs(private: Any, public: bytes) -> bool:
    message = os.urandom(32)
    signature = eddsa(private, message)
    key = ed25519.Ed25519PublicKey.from_public_bytes(public)
    return _is_valid(lambda: key.verify(signature, message))


def _is_valid(verify: Callable[[], None]) -> bool:
    try:
        verify()
    except InvalidSignature:
        return False
    return True


_P256 = (Making(KeyType.EC, Mechanism.EC_KEY_PAIR_GEN, bytes.fromhex("06082a8648ce3d030107")),)


def _made_as(name: bytes, oid: bytes) -> tuple[Making, ...]:
    printable = bytes([0x13, len(name)]) + name
    edwards = [Making(KeyType.EC_EDWARDS, Mechanism.EC_EDWARDS_KEY_PAIR_GEN, params) for params in (printable, oid)]
    return *edwards, Making(KeyType.EC, Mechanism.EC_KEY_PAIR_GEN, oid)


# RFC 8410, section 3; PKCS#11 3.0 has its own type for Montgomery curves, which python-pkcs11 0.10 does not know
P256_AGREE = Curve("P-256 (ECDH)", 65, Attribute.DERIVE, Mechanism.ECDH1_DERIVE, _P256, _p256_agrees)
P256_SIGN = Curve("P-256 (ECDSA)", 65, Attribute.SIGN, Mechanism.ECDSA, _P256, _p256_signs)
X25519 = Curve(
    "X25519",
    32,
    Attribute.DERIVE,
    Mechanism.ECDH1_DERIVE,
    _made_as(b"curve25519", bytes.fromhex("06032b656e")),
    _x25519_agrees,
)
ED25519 = Curve(
    "Ed25519",
    32,
    Attribute.SIGN,
    Mechanism.EDDSA,
    _made_as(b"edwards25519", bytes.fromhex("06032b6570")),
    _ed25519_signs,
)
