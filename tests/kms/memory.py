# SPDX-License-Identifier: Apache-2.0
"""A KMS that works, in memory: it can be switched off, and made as careless as some mechanisms are."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from e4core.errors import KeyNotFound, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped


class MemoryKms:
    """``asked`` counts the unwraps it was asked for. Two with the same ``kek`` are replicas of one service."""

    def __init__(self, kek: bytes | None = None, *, binds_context: bool = True) -> None:
        self.kek = kek or os.urandom(32)
        self.available = True
        self.closed = False
        self.asked = 0
        self._key_id = self.kek[:4].hex()
        self._binds_context = binds_context

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        self._answer()
        nonce = os.urandom(12)
        return Wrapped(
            self._key_id, "aes-256-gcm", nonce + AESGCM(self.kek).encrypt(nonce, secret, self._bound(context))
        )

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        self.asked += 1
        self._answer()
        if wrapped.key_id != self._key_id:
            raise KeyNotFound(f"there is no key {wrapped.key_id}")
        try:
            return Secret(AESGCM(self.kek).decrypt(wrapped.blob[:12], wrapped.blob[12:], self._bound(context)))
        except (InvalidTag, ValueError) as error:
            raise Tampered("the wrap was changed") from error

    def check(self) -> None:
        self._answer()

    def close(self) -> None:
        self.closed = True

    def _answer(self) -> None:
        if self.closed:
            raise KmsError("closed")
        if not self.available:
            raise KmsUnavailable("switched off")

    def _bound(self, context: bytes) -> bytes:
        return context if self._binds_context else b""


class MalleableKms:
    """Wraps by a one-time pad and binds nothing: whatever was changed opens, changed."""

    def __init__(self) -> None:
        self._pad = os.urandom(64)

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        return Wrapped("pad", "xor", self._xor(secret))

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return Secret(self._xor(wrapped.blob))

    def check(self) -> None: ...

    def close(self) -> None: ...

    def _xor(self, data: bytes) -> bytes:
        return bytes(a ^ b for a, b in zip(data, self._pad, strict=False))
