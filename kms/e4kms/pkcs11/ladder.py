# SPDX-License-Identifier: Apache-2.0
"""How a secret is wrapped by a token, best first: tokens differ in what they can do, and in what they only say they can.

Every rung authenticates, and binds ``bound`` (see `e4kms.pkcs11.driver`): as associated data, or under an HMAC by a second key of
the token (encrypt, then MAC), or, where the token wraps keys only, by AES-256-GCM under a key of this one wrap.

============================ ==========================================================================================
``aes-gcm``                  nonce (12 B) | ciphertext | tag (16 B)
``aes-key-wrap``             length of the next (2 B, big-endian) | key, wrapped as in RFC 3394 | ciphertext | tag (16 B)
``aes-key-wrap-kwp``         the same, but wrapped as in RFC 5649
``aes-cbc-pad-hmac-sha256``  IV (16 B) | ciphertext | HMAC-SHA256 (32 B)
``rsa-oaep-…-hmac-sha256``   ciphertext, as long as the modulus | HMAC-SHA256 (32 B)
============================ ==========================================================================================

CKM_AES_KEY_WRAP_PAD is not among them: three tokens give it three meanings.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pkcs11
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pkcs11 import MGF, Attribute, GCMParams, KeyType, Mechanism, ObjectClass

from e4core.keys import Secret
from e4kms.pkcs11.keys import Kek
from e4kms.records import canonical

KEY_LEN = 32

_GCM_NONCE_LEN, _TAG_LEN, _IV_LEN, _MAC_LEN, _LENGTH_LEN = 12, 16, 16, 32, 2
# each carried key seals one message only
_ONLY_NONCE = bytes(12)
_READABLE = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True, Attribute.TOKEN: False}


@dataclass(frozen=True, slots=True)
class Rung:
    """``name`` is recorded in each wrap. ``open`` raises InvalidTag for what was changed, as far as it can tell, or PKCS11Error."""

    name: str
    mechanism: Mechanism
    key_type: KeyType
    uses: tuple[Attribute, ...]
    seal: Callable[[Kek, Rung, bytes, bytes], bytes]
    open: Callable[[Kek, Rung, bytes, bytes], bytes]
    needs_mac: bool = False

    def fits(self, kek: Kek, listed: set[Any]) -> bool:
        """Whether token and key claim to be able to. Args: listed: what the token lists as its mechanisms."""
        is_listed = self.mechanism in listed and (not self.needs_mac or Mechanism.SHA256_HMAC in listed)
        return is_listed and kek.type is self.key_type and kek.may(*self.uses) and (not self.needs_mac or bool(kek.mac))

    def probe(self, kek: Kek) -> None:
        """Wrap and unwrap a random secret. Raises: InvalidTag: it did not come back; PKCS11Error."""
        secret, bound = Secret(os.urandom(KEY_LEN)), b"e4 probe"
        if secret != self.open(kek, self, self.seal(kek, self, secret, bound), bound):
            raise InvalidTag


def _seal_gcm(kek: Kek, rung: Rung, secret: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_GCM_NONCE_LEN)
    sealed: bytes = kek.key.encrypt(secret, mechanism=rung.mechanism, mechanism_param=_gcm(nonce, bound))
    return nonce + sealed


def _open_gcm(kek: Kek, rung: Rung, blob: bytes, bound: bytes) -> bytes:
    nonce, sealed = _cut(blob, _GCM_NONCE_LEN, _TAG_LEN)
    opened: bytes = kek.key.decrypt(sealed, mechanism=rung.mechanism, mechanism_param=_gcm(nonce, bound))
    return opened


def _gcm(nonce: bytes, bound: bytes) -> GCMParams:
    return GCMParams(nonce, bound, _TAG_LEN * 8)


def _seal_carried(kek: Kek, rung: Rung, secret: bytes, bound: bytes) -> bytes:
    key = os.urandom(KEY_LEN)
    inside = kek.session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
            Attribute.VALUE: key,
            **_READABLE,
        }
    )
    try:
        carried: bytes = kek.key.wrap_key(inside, mechanism=rung.mechanism)
    finally:
        inside.destroy()
    sealed = AESGCM(key).encrypt(_ONLY_NONCE, secret, canonical(bound, carried))
    return len(carried).to_bytes(_LENGTH_LEN, "big") + carried + sealed


def _open_carried(kek: Kek, rung: Rung, blob: bytes, bound: bytes) -> bytes:
    head, rest = _cut(blob, _LENGTH_LEN, _TAG_LEN)
    carried, sealed = _cut(rest, int.from_bytes(head, "big"), _TAG_LEN)
    inside = kek.key.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.GENERIC_SECRET,
        carried,
        mechanism=rung.mechanism,
        capabilities=0,
        template=_READABLE,
    )
    try:
        key: bytes = inside[Attribute.VALUE]
    finally:
        inside.destroy()
    if len(key) != KEY_LEN:
        raise InvalidTag
    return AESGCM(key).decrypt(_ONLY_NONCE, sealed, canonical(bound, carried))


def _seal_cbc(kek: Kek, rung: Rung, secret: bytes, bound: bytes) -> bytes:
    iv = os.urandom(_IV_LEN)
    sealed: bytes = kek.key.encrypt(secret, mechanism=rung.mechanism, mechanism_param=iv)
    return _maced(kek, iv + sealed, bound)


def _open_cbc(kek: Kek, rung: Rung, blob: bytes, bound: bytes) -> bytes:
    iv, sealed = _cut(_unmaced(kek, blob, bound), _IV_LEN, 1)
    opened: bytes = kek.key.decrypt(sealed, mechanism=rung.mechanism, mechanism_param=iv)
    return opened


@dataclass(frozen=True, slots=True)
class _Oaep:
    """Sealed here, with the public half as the private object tells it: other objects of the token could be put in its place."""

    algorithm: type[hashes.HashAlgorithm]
    param: tuple[Mechanism, MGF, None]

    def seal(self, kek: Kek, rung: Rung, secret: bytes, bound: bytes) -> bytes:
        n, e = (int.from_bytes(kek.key[name], "big") for name in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT))
        oaep = padding.OAEP(padding.MGF1(self.algorithm()), self.algorithm(), None)
        return _maced(kek, rsa.RSAPublicNumbers(e, n).public_key().encrypt(secret, oaep), bound)

    def open(self, kek: Kek, rung: Rung, blob: bytes, bound: bytes) -> bytes:
        sealed = _unmaced(kek, blob, bound)
        opened: bytes = kek.key.decrypt(sealed, mechanism=rung.mechanism, mechanism_param=self.param)
        return opened


def _maced(kek: Kek, sealed: bytes, bound: bytes) -> bytes:
    mac: bytes = kek.mac.sign(canonical(bound, sealed), mechanism=Mechanism.SHA256_HMAC)
    return sealed + mac


def _unmaced(kek: Kek, blob: bytes, bound: bytes) -> bytes:
    sealed, mac = blob[:-_MAC_LEN], blob[-_MAC_LEN:]
    if not kek.mac:
        raise pkcs11.NoSuchKey
    if not hmac.compare_digest(_maced(kek, sealed, bound)[-_MAC_LEN:], mac):
        raise InvalidTag
    return sealed


def _cut(blob: bytes, length: int, min_rest: int) -> tuple[bytes, bytes]:
    if len(blob) < length + min_rest:
        raise InvalidTag
    return blob[:length], blob[length:]


_CRYPT = (Attribute.ENCRYPT, Attribute.DECRYPT)
_WRAP = (Attribute.WRAP, Attribute.UNWRAP)
_SHA256 = _Oaep(hashes.SHA256, (Mechanism.SHA256, MGF.SHA256, None))
_SHA1 = _Oaep(hashes.SHA1, (Mechanism.SHA_1, MGF.SHA1, None))  # its collisions do not harm OAEP
_OAEP = Mechanism.RSA_PKCS_OAEP

LADDER: tuple[Rung, ...] = (
    Rung("aes-gcm", Mechanism.AES_GCM, KeyType.AES, _CRYPT, _seal_gcm, _open_gcm),
    Rung("aes-key-wrap", Mechanism.AES_KEY_WRAP, KeyType.AES, _WRAP, _seal_carried, _open_carried),
    Rung("aes-key-wrap-kwp", Mechanism.AES_KEY_WRAP_KWP, KeyType.AES, _WRAP, _seal_carried, _open_carried),
    Rung("aes-cbc-pad-hmac-sha256", Mechanism.AES_CBC_PAD, KeyType.AES, _CRYPT, _seal_cbc, _open_cbc, needs_mac=True),
    *(
        Rung(name, _OAEP, KeyType.RSA, (Attribute.DECRYPT,), oaep.seal, oaep.open, needs_mac=True)
        for name, oaep in (("rsa-oaep-sha256-hmac-sha256", _SHA256), ("rsa-oaep-sha1-hmac-sha256", _SHA1))
    ),
)
"""Best first."""

RUNGS: Mapping[str, Rung] = {rung.name: rung for rung in LADDER}

UNFIT = (pkcs11.PKCS11Error, InvalidTag)
"""What `Rung.probe` raises where a rung cannot be used."""
