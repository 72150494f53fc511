# SPDX-License-Identifier: Apache-2.0
"""A state under a passphrase: one JSON object on one line, in exactly the form in which `seal` writes it.

Fields, in this order: ``format`` "e4-sealed-state", ``version`` 1, ``kdf`` "argon2id", ``memory_kib``, ``passes``, ``lanes``,
``salt`` (16 bytes), ``cipher`` "aes-256-gcm-siv", ``nonce`` (12), ``ciphertext`` (n + 16); bytes are standard base64. The key
is Argon2id of the passphrase, 32 bytes (RFC 9106); associated data of AES-256-GCM-SIV (RFC 8452) is the same object without
``nonce`` and ``ciphertext``. A file that is not byte for byte what `seal` makes is refused, so that no change passes unseen.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.jsonform import b64, guarded, unb64, whole
from e4core.keys import Secret
from e4device.passphrase import RECOMMENDED, SALT_LEN, Cost, derive

FORMAT = "e4-sealed-state"
VERSION = 1
NONCE_LEN = 12
TAG_LEN = 16
_CIPHER = "aes-256-gcm-siv"
_KDF = "argon2id"


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed besides the passphrase to make the key."""

    salt: bytes
    cost: Cost = RECOMMENDED

    @property
    def fields(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "kdf": _KDF,
            "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes,
            "lanes": self.cost.lanes,
            "salt": b64(self.salt),
            "cipher": _CIPHER,
        }


class SealingKey:
    """A derived key, kept so that a save need not derive it again; a fresh random nonce for each save."""

    def __init__(self, passphrase: Secret, header: Header) -> None:
        """Derive, which takes some tenths of a second. Raises: InvalidInput. StorageError: not enough memory."""
        self.header = header
        self._associated_data = _text(header.fields)
        self._cipher = AESGCMSIV(derive(passphrase, header.salt, header.cost))

    @classmethod
    def fresh(cls, passphrase: Secret, cost: Cost = RECOMMENDED) -> SealingKey:
        return cls(passphrase, Header(os.urandom(SALT_LEN), cost))

    def seal(self, plaintext: bytes) -> bytes:
        """Content of the file."""
        nonce = os.urandom(NONCE_LEN)
        return _envelope(self.header, nonce, self._cipher.encrypt(nonce, plaintext, self._associated_data))

    def open(self, sealed: Sealed) -> bytes:
        """Raises: AuthenticationFailed."""
        try:
            return self._cipher.decrypt(sealed.nonce, sealed.ciphertext, self._associated_data)
        except InvalidTag:
            raise AuthenticationFailed("wrong passphrase or damaged file") from None


@dataclass(frozen=True, slots=True)
class Sealed:
    """A parsed file."""

    header: Header
    nonce: bytes
    ciphertext: bytes

    @classmethod
    def parse(cls, data: bytes, body: dict[str, Any]) -> Sealed:
        """Args: data: content of the file.  body: the same, as JSON.

        Raises: InvalidInput (``bad_state``): not exactly what `SealingKey.seal` writes.
        """
        sealed = guarded(lambda: cls._parse(body))
        if _envelope(sealed.header, sealed.nonce, sealed.ciphertext) != data:
            raise InvalidInput("the sealed state was changed or damaged; restore it from a copy", kind="bad_state")
        return sealed

    @classmethod
    def _parse(cls, body: dict[str, Any]) -> Sealed:
        cost = Cost(*(whole(body[name]) for name in ("memory_kib", "passes", "lanes")))
        salt, nonce, ciphertext = (unb64(body[name]) for name in ("salt", "nonce", "ciphertext"))
        if len(salt) != SALT_LEN or len(nonce) != NONCE_LEN or len(ciphertext) < TAG_LEN:
            raise InvalidInput("the sealed state has a field of the wrong length", kind="bad_state")
        return cls(Header(salt, cost), nonce, ciphertext)


def is_sealed(body: dict[str, Any]) -> bool:
    return body.get("format") == FORMAT


def _envelope(header: Header, nonce: bytes, ciphertext: bytes) -> bytes:
    return _text({**header.fields, "nonce": b64(nonce), "ciphertext": b64(ciphertext)}) + b"\n"


def _text(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
