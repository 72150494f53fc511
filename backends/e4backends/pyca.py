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
        if len(raw) != self.key_len:
            raise InvalidInput(f"the key is {self.key_len} bytes long, not {len(raw)}", kind="bad_key")
        if not any(raw):
            raise InvalidInput("an all-zero key is refused", kind="bad_key")
        return _SivKey(bytes(raw + raw if self.doubled else raw))


def hkdf_sha256(secret: bytes, info: bytes, length: int, /) -> bytes:
    """HKDF-SHA256 with an empty salt (RFC 5869)."""
    return HKDF(SHA256(), length, None, info).derive(secret)
