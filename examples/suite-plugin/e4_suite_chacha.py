# SPDX-License-Identifier: Apache-2.0
"""The suite ``chacha-sk``: a symmetric suite of Format 2 over ChaCha20-Poly1305 (RFC 8439)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from e4backends.sk import symmetric_suite
from e4core.errors import AuthenticationFailed
from e4core.keys import check_symmetric_key


class ChaCha:
    """An `e4core.suite.Aead`. Output: ciphertext | tag (16 B)."""

    key_len = 32
    nonce_len = 12
    tag_len = 16

    def key(self, raw: bytes, /) -> ChaChaKey:
        check_symmetric_key(raw)
        return ChaChaKey(raw)


class ChaChaKey:
    """An `e4core.suite.AeadKey`."""

    def __init__(self, raw: bytes) -> None:
        self._cipher = ChaCha20Poly1305(raw)

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        return self._cipher.encrypt(nonce, plaintext, associated_data)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        try:
            return self._cipher.decrypt(nonce, ciphertext, associated_data)
        except InvalidTag:
            raise AuthenticationFailed from None


SUITE = symmetric_suite("chacha-sk", wire_name="acme-chacha-sk-1", aead=ChaCha())
