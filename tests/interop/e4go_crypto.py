# SPDX-License-Identifier: Apache-2.0
"""Primitives of E4 Format 1 as e4go uses them, from ``wire.md`` alone; nothing of this project is imported.

For tests only: the point arithmetic is not constant-time. Error texts follow e4go's; where e4go crashes, the error's kind is
``panic``.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

MESSAGE_AGE_S = 600
OLD_KEY_AGE_S = 3600
# From here on Go's time type wraps (or int64 turns negative) and e4go sees a time long ago; wire.md section 4.
WRAPPED_TIME = 2**63 - 62135596800
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


class E4goError(Exception):
    """An error or a crash of e4go; ``kind`` is the neutral name of ``wire.md`` (``other`` where it has none)."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def require(condition: bool, kind: str, text: str) -> None:
    if not condition:
        raise E4goError(kind, text)


def checked(key: bytes, length: int, prefix: str) -> bytes:
    require(len(key) == length, "bad_key", f"{prefix} length, got {len(key)}, expected {length}")
    require(any(key), "bad_key", f"{prefix}, all zeros")
    return key


def topic_hash(text: str) -> bytes:
    """The topic hash (16 B) of a topic, and the client id of a name: the same function. ``wire.md`` section 2."""
    return hash_of_hash(text.encode())


def hash_of_hash(data: bytes) -> bytes:
    return hashlib.sha3_256(data).digest()[:16]


def timestamp(now: float) -> bytes:
    return int(now).to_bytes(8, "little")


def check_age(ts: bytes, now: float, max_age_s: int) -> None:
    seconds = int.from_bytes(ts, "little")
    require(seconds <= now or seconds >= WRAPPED_TIME, "timestamp_future", "timestamp received is in the future")
    require(seconds < WRAPPED_TIME and now - seconds <= max_age_s, "timestamp_old", "timestamp too old")


def aead_seal(key: bytes, plaintext: bytes, ad: bytes) -> bytes:
    return AESSIV(checked(key, 32, "invalid symmetric key") * 2).encrypt(plaintext, [ad])


def aead_open(key: bytes, sealed: bytes, ad: bytes) -> bytes:
    cipher = AESSIV(checked(key, 32, "invalid symmetric key") * 2)
    require(len(sealed) >= 16, "too_short_inner", "too short ciphertext")
    try:
        return cipher.decrypt(sealed, [ad])
    except InvalidTag as error:
        raise E4goError("not_authentic", "siv: authentication failed") from error


def seal(key: bytes, plaintext: bytes, ts: bytes) -> bytes:
    """An SK message or, with the client key (SK) or shared key (PK), a command: ts (8 B) | SIV (16 B) | ciphertext."""
    return ts + aead_seal(key, plaintext, ts)


def open_sealed(key: bytes, data: bytes, now: float) -> bytes:
    require(len(data) > 24, "too_short", "ciphertext too short")
    check_age(data[:8], now, MESSAGE_AGE_S)
    return aead_open(key, data[8:], data[:8])


def sign(private64: bytes, signer_id: bytes, ts: bytes, sealed: bytes) -> bytes:
    """ts (8 B) | signer id (16 B) | sealed | Ed25519 signature (64 B) over all before it. ``wire.md`` section 6."""
    require(len(signer_id) == 16, "other", "invalid signer ID")
    require(len(ts) == 8, "other", "invalid timestamp")
    key = Ed25519PrivateKey.from_private_bytes(private64[:32])
    if key.public_key().public_bytes_raw() != private64[32:]:
        raise NotImplementedError("e4go hashes the stored public half, which leaks the key; not imitated here")
    message = ts + signer_id + sealed
    return message + key.sign(message)


def verify(public: bytes, signed: bytes) -> None:
    """Check the last 64 bytes as the signature over all before them."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signed[-64:], signed[:-64])
    except InvalidSignature as error:
        raise E4goError("bad_signature", "invalid signature") from error


def x25519_private_of(seed: bytes) -> bytes:
    """The clamped X25519 private key (32 B) of an Ed25519 seed (32 B)."""
    h = bytearray(hashlib.sha512(seed).digest()[:32])
    h[0] &= 248
    h[31] = h[31] & 127 | 64
    return bytes(h)


def x25519_public_of(ed25519_public: bytes) -> bytes:
    """u = (1+y)/(1-y), 32 B, of an Ed25519 public key. The C2's side; e4go crashes on what is no curve point."""
    y = int.from_bytes(ed25519_public, "little") % 2**255
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P)
    require(pow(x_squared, (P - 1) // 2, P) in (0, 1), "panic", "could not convert ed25519 public key to curve25519")
    # The power, not an inverse: 1/0 must be 0, which gives u = 0 for y = 1.
    return ((1 + y) * pow(1 - y, P - 2, P) % P).to_bytes(32, "little")


def x25519(private: bytes, public: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise E4goError("bad_key", "curve25519 X25519 failed: bad input point: low order point") from error


def shared_key(x25519_private: bytes, x25519_public: bytes) -> bytes:
    """The key (32 B) of all commands between a C2 and a PK client, from either side."""
    return hashlib.sha3_256(x25519(x25519_private, x25519_public)).digest()


def c2_shared_key(c2_private: bytes, client_ed25519_public: bytes) -> bytes:
    return shared_key(c2_private, x25519_public_of(client_ed25519_public))
