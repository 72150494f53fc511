# SPDX-License-Identifier: Apache-2.0
"""The two pairs of ``pq-hybrid`` for the independent implementation: Ed25519 and ML-DSA-65, X-Wing (``format2.md`` section 1.1).

Ed25519 and X25519 come from `cryptography`; the suite has them from libsodium. Stored: the seeds, 32 bytes each; of X-Wing one.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tests.conformance.witness2_primitives import ML_KEM, Kem, Signature


def _ed25519_public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


ED25519 = Signature(
    32,
    64,
    32,
    _ed25519_public,
    lambda seed, message: Ed25519PrivateKey.from_private_bytes(seed).sign(message),
    _ed25519_verify,
)


def both(first: Signature, second: Signature) -> Signature:
    """Keys and signatures: first those of ``first``. Both must verify."""

    def verify(public: bytes, message: bytes, signature: bytes) -> bool:
        one = first.verify(public[: first.public_len], message, signature[: first.signature_len])
        other = second.verify(public[first.public_len :], message, signature[first.signature_len :])
        return one and other

    return Signature(
        first.public_len + second.public_len,
        first.signature_len + second.signature_len,
        first.private_len + second.private_len,
        lambda stored: first.public(stored[: first.private_len]) + second.public(stored[first.private_len :]),
        lambda stored, message: (
            first.sign(stored[: first.private_len], message) + second.sign(stored[first.private_len :], message)
        ),
        verify,
    )


def _x25519(scalar: bytes, point: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(point))


def _x25519_public(scalar: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(scalar).public_key().public_bytes_raw()


def _x_wing_expand(seed: bytes) -> tuple[bytes, bytes]:
    """Seed of ML-KEM (64), scalar of X25519 (32)."""
    expanded = hashlib.shake_256(seed).digest(96)
    return expanded[:64], expanded[64:]


def _x_wing_secret(ml_kem: bytes, x: bytes, x_ciphertext: bytes, x_public: bytes) -> bytes:
    return hashlib.sha3_256(ml_kem + x + x_ciphertext + x_public + bytes.fromhex("5c2e2f2f5e5c")).digest()


def _x_wing_public(seed: bytes) -> bytes:
    ml_kem, scalar = _x_wing_expand(seed)
    return ML_KEM.public(ml_kem) + _x25519_public(scalar)


def _x_wing_check(public: bytes) -> None:
    if len(public) != 1216:
        raise ValueError("not a key of X-Wing")
    ML_KEM.check(public[:1184])


def _x_wing_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    ciphertext, secret = ML_KEM.encapsulate(public[:1184])
    scalar = X25519PrivateKey.generate().private_bytes_raw()
    point = _x25519_public(scalar)
    return ciphertext + point, _x_wing_secret(secret, _x25519(scalar, public[1184:]), point, public[1184:])


def _x_wing_decapsulate(seed: bytes, ciphertext: bytes) -> bytes:
    ml_kem, scalar = _x_wing_expand(seed)
    secret, point = ML_KEM.decapsulate(ml_kem, ciphertext[:1088]), ciphertext[1088:]
    return _x_wing_secret(secret, _x25519(scalar, point), point, _x25519_public(scalar))


X_WING = Kem(1216, 1120, 32, _x_wing_public, _x_wing_check, _x_wing_encapsulate, _x_wing_decapsulate)
