# SPDX-License-Identifier: Apache-2.0
"""Parts made of `cryptography` (OpenSSL): AES-SIV, HKDF."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e4core.errors import AuthenticationFailed, InvalidInput


class _SivKey:
    """AES-SIV with one string of associated data; the nonce is empty, SIV needs none."""

    __slots__ = ("_decrypt", "_encrypt")

    def __init__(self, key: bytes) -> None:
        siv = AESSIV(key)
        self._encrypt = siv.encrypt
        self._decrypt = siv.decrypt

    def seal(self, _nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        return self._encrypt(plaintext, [associated_data])

    def open(self, _nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        try:
            return self._decrypt(ciphertext, [associated_data])
        except InvalidTag:
            raise AuthenticationFailed from None


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
        if len(raw) != self.key_len:
            raise InvalidInput(f"the key is {self.key_len} bytes long, not {len(raw)}", kind="bad_key")
        if not any(raw):
            raise InvalidInput("an all-zero key is refused", kind="bad_key")
        return _SivKey(bytes(raw + raw if self.doubled else raw))


def hkdf_sha256(secret: bytes, info: bytes, length: int, /) -> bytes:
    """HKDF-SHA256 with an empty salt (RFC 5869)."""
    return HKDF(SHA256(), length, None, info).derive(secret)
