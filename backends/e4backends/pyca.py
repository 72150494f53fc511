# SPDX-License-Identifier: Apache-2.0
"""Parts made of `cryptography` (OpenSSL): AES-SIV, AES-GCM, HKDF, SHA3-256."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA3_256, SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e4core.errors import AuthenticationFailed, InvalidInput


class _SivKey:
    """AES-SIV with one string of associated data; the nonce is empty, SIV needs none.

    Closures rather than methods: messages of 64 bytes take 1.3 us, and a method costs some percent of that.
    """

    __slots__ = ("open", "seal")

    def __init__(self, key: bytes) -> None:
        siv = AESSIV(key)
        encrypt, decrypt = siv.encrypt, siv.decrypt

        def seal(_nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
            return encrypt(plaintext, [associated_data])

        def open_(_nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
            try:
                return decrypt(ciphertext, [associated_data])
            except InvalidTag:
                raise AuthenticationFailed from None

        self.seal = seal
        self.open = open_


@dataclass(frozen=True, slots=True)
class Siv:
    """AES-256-SIV (RFC 5297, AEAD_AES_SIV_CMAC_512). Output: SIV (16 B) | ciphertext.

    ``doubled``: the 32-byte key serves as both halves, as E4 does (`wire.md` section 3); else the key has 64 bytes.
    """

    doubled: bool = False
    nonce_len = 0
    tag_len = 16

    @property
    def key_len(self) -> int:
        return 32 if self.doubled else 64

    def key(self, raw: bytes, /) -> _SivKey:
        _check(raw, self.key_len)
        return _SivKey(bytes(raw + raw if self.doubled else raw))


class _GcmKey:
    """Closures, as in `_SivKey`; to seal, that of `cryptography` is the very one."""

    __slots__ = ("open", "seal")

    def __init__(self, key: bytes) -> None:
        gcm = AESGCM(key)
        decrypt = gcm.decrypt

        def open_(nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
            try:
                return decrypt(nonce, ciphertext, associated_data)
            except InvalidTag:
                raise AuthenticationFailed from None

        self.seal = gcm.encrypt
        self.open = open_


@dataclass(frozen=True, slots=True)
class Gcm:
    """AES-256-GCM (SP 800-38D, AEAD_AES_256_GCM of RFC 5116). Output: ciphertext | tag (16 B).

    One nonce used twice under one key gives away the key of the authentication, and the exclusive or of both plaintexts. Nonces are
    made by the core, by counting under keys that are new with every session (`format2.md` section 2).
    """

    key_len = 32
    nonce_len = 12
    tag_len = 16

    def key(self, raw: bytes, /) -> _GcmKey:
        _check(raw, self.key_len)
        return _GcmKey(bytes(raw))


def _check(raw: bytes, length: int) -> None:
    if len(raw) != length:
        raise InvalidInput(f"the key is {length} bytes long, not {len(raw)}", kind="bad_key")
    if not any(raw):
        raise InvalidInput("an all-zero key is refused", kind="bad_key")


class Sha3:
    """SHA3-256 (FIPS 202) from the same OpenSSL as all the rest; `hashlib` may have another, and falls back on code of its own."""

    def digest(self, data: bytes, /) -> bytes:
        return Hash.hash(SHA3_256(), data)


def hkdf_sha256(secret: bytes, info: bytes, length: int, /) -> bytes:
    """HKDF-SHA256 with an empty salt (RFC 5869)."""
    return HKDF(SHA256(), length, None, info).derive(secret)
