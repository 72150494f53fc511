# SPDX-License-Identifier: Apache-2.0
"""The driver of ``file:`` URIs: the key encryption key in a file that only its owner can read.

The file is JSON: format, version, key id (16 random bytes in hex), algorithm, key (32 bytes in base64). It protects against whoever
gets the database but not this file, so the two belong on different disks and in different backups; who loses it loses the database.
"""

from __future__ import annotations

import base64
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from e4core import files
from e4core.errors import Conflict, InvalidInput, KeyNotFound, KmsError, StorageError, Tampered
from e4core.keys import Secret, check_symmetric_key
from e4core.kms import Wrapped
from e4kms.records import canonical

MECHANISM = "aes-256-gcm-siv"

_FORMAT, _VERSION = "e4-kek", 1
_KEY_LEN, _NONCE_LEN, _TAG_LEN = 32, 12, 16
_KEY_ID = re.compile(r"[0-9a-f]{32}")


def open_kms(uri: str) -> FileKms:
    """The KMS in the file that ``uri`` names; a missing one is an error when it is used.

    Raises: InvalidInput: the URI; KmsError: others may read the file, or it is no KEK file.
    """
    kms = FileKms(path_of(uri))
    with suppress(KeyNotFound):
        kms.load()
    return kms


def path_of(uri: str) -> Path:
    """The path in ``file:///absolute/path`` or ``file:relative/path``, percent-decoded. Raises: InvalidInput (``bad_uri``)."""
    scheme, _, rest = uri.partition(":")
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    if scheme != "file" or not path or path.startswith("//") or any(c in path for c in "?#"):
        raise _bad_uri(uri)
    try:
        decoded = os.fsdecode(unquote_to_bytes(path))
    except UnicodeError as error:
        raise _bad_uri(uri) from error
    if "\0" in decoded or not Path(decoded).name:
        raise _bad_uri(uri)
    return Path(decoded)


def create(path: Path) -> bool:
    """Make a file with a new key, unless there is one; never overwrites. Returns whether this call made it.

    When it returns, the file survives a power cut; of several callers at once one makes it and all may use it.
    Raises: KmsError: the folder is missing, not writable, or on a file system without hard links.
    """
    try:
        files.create(path, _new_kek())
    except Conflict:
        return False
    except StorageError as error:
        raise KmsError(f"{error}; name a file in a folder that exists and is yours") from error
    return True


@dataclass(frozen=True, slots=True)
class _Kek:
    key_id: str
    key: Secret


class FileKms:
    """A `e4core.kms.Kms`. ``Wrapped.blob`` is nonce (12 B) | ciphertext | tag (16 B) of AES-256-GCM-SIV (RFC 8452)."""

    __slots__ = ("_cipher", "_closed", "_key_id", "_path", "_raw")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key_id, self._raw = "", bytearray()
        self._cipher: AESGCMSIV | None = None
        self._closed = False

    def load(self) -> None:
        """Raises: KeyNotFound: no such file; KmsError: others may read it, or it is no KEK file."""
        kek = _parsed(_read(self._path), self._path)
        self._key_id, self._raw = kek.key_id, bytearray(kek.key)
        self._cipher = AESGCMSIV(self._raw)

    def create_key(self) -> None:
        """Raises: Conflict: there is a file; KmsError: it cannot be written."""
        if not create(self._path):
            raise Conflict(f"{self._path} exists; a KEK file is never overwritten")
        self.load()

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        nonce, cipher = os.urandom(_NONCE_LEN), self._open_cipher()
        blob = nonce + cipher.encrypt(nonce, secret, self._associated_data(context))
        return Wrapped(self._key_id, MECHANISM, blob)

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        cipher = self._open_cipher()
        if wrapped.key_id != self._key_id:
            raise KeyNotFound(
                f"wrapped under key {wrapped.key_id}, but the file holds key {self._key_id}: use the right file"
            )
        if wrapped.mechanism != MECHANISM:
            raise Tampered(f"{wrapped.mechanism!r} is not how key {self._key_id} wraps; restore the wrap from a backup")
        nonce, ciphertext = wrapped.blob[:_NONCE_LEN], wrapped.blob[_NONCE_LEN:]
        if len(ciphertext) < _TAG_LEN:
            raise self._tampered()
        try:
            return Secret(cipher.decrypt(nonce, ciphertext, self._associated_data(context)))
        except InvalidTag as error:
            raise self._tampered() from error

    def check(self) -> None:
        probe, context = Secret(os.urandom(_KEY_LEN)), b"e4 probe"
        if self.unwrap(self.wrap(probe, context), context) != probe:
            raise KmsError(f"key {self._key_id} does not give back what it wrapped; do not use this machine")

    def close(self) -> None:
        self._cipher, self._closed = None, True
        self._raw[:] = bytes(len(self._raw))

    def _open_cipher(self) -> AESGCMSIV:
        if self._closed:
            raise KmsError("the KMS is closed; open it again")
        if self._cipher is None:
            self.load()
            assert self._cipher is not None
        return self._cipher

    def _associated_data(self, context: bytes) -> bytes:
        return canonical(b"e4 file kms v1", self._key_id.encode(), MECHANISM.encode(), context)

    def _tampered(self) -> Tampered:
        return Tampered(
            f"a secret wrapped under key {self._key_id} was changed or belongs elsewhere; restore it from a backup"
        )


def _bad_uri(uri: str) -> InvalidInput:
    return InvalidInput(f"{uri!r} names no file; write file:///absolute/path or file:relative/path", kind="bad_uri")


def _read(path: Path) -> bytes:
    try:
        return files.read(path, follow=False)
    except StorageError as error:
        if error.kind == files.MISSING:
            raise KeyNotFound(
                f"{path} does not exist: restore it from its backup; for a new database make it: e4 kms init-token-key"
            ) from error
        raise KmsError(str(error)) from error


def _parsed(data: bytes, path: Path) -> _Kek:
    kek = _kek(data)
    # raised out here, for the error of a JSON parser holds the whole text
    if kek is None:
        raise KmsError(f"{path} is not a KEK file of version {_VERSION}: restore it from its backup")
    return kek


def _kek(data: bytes) -> _Kek | None:
    try:
        match json.loads(data):
            case {
                "format": "e4-kek",
                "version": 1,
                "algorithm": "aes-256-gcm-siv",
                "key_id": str(key_id),
                "key": str(text),
            }:
                key = base64.b64decode(text, validate=True)
                check_symmetric_key(key)
                return _Kek(key_id, Secret(key)) if _KEY_ID.fullmatch(key_id) else None
    except (ValueError, RecursionError):
        return None
    return None


def _new_kek() -> bytes:
    key = base64.b64encode(os.urandom(_KEY_LEN)).decode()
    fields = {
        "format": _FORMAT,
        "version": _VERSION,
        "key_id": os.urandom(16).hex(),
        "algorithm": MECHANISM,
        "key": key,
    }
    return json.dumps(fields, indent=2).encode() + b"\n"
