# SPDX-License-Identifier: Apache-2.0
"""Primitives of ``format2.md`` section 1.1 for the independent implementation (`tests.conformance.witness2`).

Symmetric primitives and P-256 come from pycryptodome, so that they are another library's than the suites'; AES with 10 rounds is
written out beside this module. Stored private keys are as in ``vectors.md``: P-256 the scalar (32 bytes, big-endian), ML-DSA the
seed (32), ML-KEM the seeds d and z (64).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.DH import key_agreement
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

from tests.conformance import witness2_reduced


@dataclass(frozen=True)
class Aead:
    key_len: int
    nonce_len: int
    seal: Callable[[bytes, bytes, bytes, bytes], bytes]
    """Of key, nonce, plaintext, associated data."""
    open: Callable[[bytes, bytes, bytes, bytes], bytes]
    """Of key, nonce, ciphertext, associated data; ValueError if it does not open."""


@dataclass(frozen=True)
class Signature:
    public_len: int
    signature_len: int
    private_len: int
    public: Callable[[bytes], bytes]
    sign: Callable[[bytes, bytes], bytes]
    verify: Callable[[bytes, bytes, bytes], bool]
    """Of public key, message, signature; ValueError if the key is none."""


@dataclass(frozen=True)
class Kem:
    public_len: int
    ciphertext_len: int
    private_len: int
    public: Callable[[bytes], bytes]
    check: Callable[[bytes], object]
    """ValueError if the public key is none."""
    encapsulate: Callable[[bytes], tuple[bytes, bytes]]
    decapsulate: Callable[[bytes, bytes], bytes]


# ------------------------------------------------------------------------------------------------------------- AEADs


def _gcm_seal(key: bytes, nonce: bytes, plain: bytes, ad: bytes) -> bytes:
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
    cipher.update(ad)
    return b"".join(cipher.encrypt_and_digest(plain))


def _gcm_open(key: bytes, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
    cipher.update(ad)
    return cipher.decrypt_and_verify(sealed[:-16], sealed[-16:])


def _siv_seal(key: bytes, _nonce: bytes, plain: bytes, ad: bytes) -> bytes:
    cipher = AES.new(key, AES.MODE_SIV)
    cipher.update(ad)
    ciphertext, tag = cipher.encrypt_and_digest(plain)
    return tag + ciphertext


def _siv_open(key: bytes, _nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
    cipher = AES.new(key, AES.MODE_SIV)
    cipher.update(ad)
    return cipher.decrypt_and_verify(sealed[16:], sealed[:16])


GCM = Aead(32, 12, _gcm_seal, _gcm_open)
SIV = Aead(64, 0, _siv_seal, _siv_open)
REDUCED_SIV = Aead(
    64,
    0,
    lambda key, _nonce, plain, ad: witness2_reduced.seal(key, plain, ad),
    lambda key, _nonce, sealed, ad: witness2_reduced.open_sealed(key, sealed, ad),
)

# ------------------------------------------------------------------------------------------------------------- P-256


@cache
def _point(public: bytes) -> ECC.EccKey:
    if len(public) != 65 or public[0] != 4:
        raise ValueError("not an uncompressed point")
    x, y = int.from_bytes(public[1:33]), int.from_bytes(public[33:])
    if x == y == 0:
        raise ValueError("the library's name for the point at infinity")
    return ECC.construct(curve="P-256", point_x=x, point_y=y)


@cache
def _scalar(private: bytes) -> ECC.EccKey:
    return ECC.construct(curve="P-256", d=int.from_bytes(private))


@cache
def _p256_public(private: bytes) -> bytes:
    return _scalar(private).public_key().export_key(format="SEC1")


def _ecdsa_sign(private: bytes, message: bytes) -> bytes:
    return DSS.new(_scalar(private), "deterministic-rfc6979").sign(SHA256.new(message))


def _ecdsa_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    verifier = DSS.new(_point(public), "fips-186-3")
    try:
        verifier.verify(SHA256.new(message), signature)
    except ValueError:
        return False
    return True


def _raw(secret: bytes) -> bytes:
    return secret


def _ecdh(private: bytes, public: bytes) -> bytes:
    return bytes(key_agreement(static_priv=_scalar(private), static_pub=_point(public), kdf=_raw))


def _ecdh_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    ephemeral = ECC.generate(curve="P-256")
    point = ephemeral.public_key().export_key(format="SEC1")
    return point, bytes(key_agreement(static_priv=ephemeral, static_pub=_point(public), kdf=_raw))


ECDSA = Signature(65, 64, 32, _p256_public, _ecdsa_sign, _ecdsa_verify)
ECDH = Kem(65, 65, 32, _p256_public, _point, _ecdh_encapsulate, _ecdh)

# ------------------------------------------------------------------------------------------------------ post-quantum


_mldsa = cache(MLDSA65PrivateKey.from_seed_bytes)
_mldsa_public = cache(MLDSA65PublicKey.from_public_bytes)
_mlkem = cache(MLKEM768PrivateKey.from_seed_bytes)


def _mldsa_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    key = _mldsa_public(public)
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _mlkem_encapsulate(public: bytes) -> tuple[bytes, bytes]:
    secret, ciphertext = MLKEM768PublicKey.from_public_bytes(public).encapsulate()
    return ciphertext, secret


ML_DSA = Signature(
    1952,
    3309,
    32,
    lambda seed: _mldsa(seed).public_key().public_bytes_raw(),
    lambda seed, message: _mldsa(seed).sign(message),
    _mldsa_verify,
)
ML_KEM = Kem(
    1184,
    1088,
    64,
    lambda seed: _mlkem(seed).public_key().public_bytes_raw(),
    MLKEM768PublicKey.from_public_bytes,
    _mlkem_encapsulate,
    lambda seed, ciphertext: _mlkem(seed).decapsulate(ciphertext),
)
