# SPDX-License-Identifier: Apache-2.0
"""The driver of ``passphrase:`` URIs: the key encryption key is Argon2id (RFC 9106) of a passphrase.

``passphrase:///absolute/path`` takes the first line of a file that only its owner can read, ``passphrase:env:NAME`` that of an
environment variable. The passphrase never stands in the URI, so no error shows one that is not of this form.

``Wrapped.mechanism`` names the cost, ``Wrapped.blob`` is salt (16 B) | checksum (8 B) | nonce (12 B) | ciphertext | tag (16 B) of
AES-256-GCM-SIV (RFC 8452). ``Wrapped.key_id`` is a check value: 8 bytes by HKDF-SHA256 from the output of Argon2id, beside the KEK
and telling nothing about it. Who has the database guesses at the price of one run of Argon2id each, by the check value as by the
tag. It tells a wrong passphrase from a change, with one exception: who changes salt, cost or key id on purpose, and the checksum to
match, is told from a wrong passphrase by nothing. Both end the unlock.
"""

from __future__ import annotations

import hmac
import os
import re
import threading
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e4core import files
from e4core.errors import InvalidInput, KeyNotFound, KmsDenied, KmsError, KmsUnavailable, StorageError, Tampered
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4kms import argon2
from e4kms.file import path_of
from e4kms.records import canonical

WRONG = "kms_passphrase_wrong"
SHORT = "kms_passphrase_short"
MIN_CHARACTERS = 12
MOST_MEMORY_KIB = 1 << 20
LEAST_WORK_KIB, MOST_WORK_KIB = 3 * 65_536, 4 << 20
"""Memory times passes of one derivation, about 0.1 and three seconds."""

_SALT_LEN, _CHECKSUM_LEN, _NONCE_LEN, _TAG_LEN = 16, 8, 12, 16
_KEY_LEN, _KEY_ID_LEN = 32, 8
_SEALED_AT = _SALT_LEN + _CHECKSUM_LEN
_MOST = 16
_KEPT = 32
_VARIABLE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_MECHANISM = re.compile(r"argon2id\(m=([1-9][0-9]{0,6}),t=([1-9][0-9]{0,6}),p=([1-9][0-9]{0,6})\)\+aes-256-gcm-siv")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one derivation costs, and so one guess; the default is RFC 9106's second recommended option.

    Neither far more, as that would let who writes the database take all memory and time, nor less, as guesses would be cheap.
    """

    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        """Raises: InvalidInput (``bad_cost``)."""
        fits = LEAST_WORK_KIB <= self.memory_kib * self.passes <= MOST_WORK_KIB and self.memory_kib <= MOST_MEMORY_KIB
        if not (fits and 1 <= self.passes <= _MOST and 1 <= self.lanes <= _MOST):
            raise InvalidInput(
                f"Argon2id takes at most {MOST_MEMORY_KIB} KiB of memory, {_MOST} passes and {_MOST} lanes here, and"
                f" {LEAST_WORK_KIB} to {MOST_WORK_KIB} KiB of memory times passes",
                kind="bad_cost",
            )

    def __str__(self) -> str:
        return f"argon2id(m={self.memory_kib},t={self.passes},p={self.lanes})+aes-256-gcm-siv"

    @classmethod
    def parse(cls, mechanism: str) -> Cost:
        """Raises: InvalidInput: out of bounds, or nothing that `__str__` gives."""
        found = _MECHANISM.fullmatch(mechanism)
        if found is None:
            raise InvalidInput(f"{mechanism!r} is no mechanism of a passphrase", kind="bad_cost")
        return cls(*(int(number) for number in found.groups()))


RECOMMENDED = Cost()


def open_kms(uri: str) -> PassphraseKms:
    """The KMS under the passphrase that ``uri`` tells where to find.

    Raises: InvalidInput: the URI; KeyNotFound: no such file or variable; KmsError: others may read the file.
    """
    return PassphraseKms(uri, _read(uri))


class PassphraseKms:
    """A `e4core.kms.Kms` and `e4core.kms.Rewraps`. All wraps of one instance share a salt, so that they cost one derivation."""

    __slots__ = ("_closed", "_cost", "_keys", "_lock", "_passphrase", "_process", "_salt", "_uri")

    def __init__(self, uri: str, passphrase: Secret, cost: Cost = RECOMMENDED) -> None:
        self._uri = uri
        self._passphrase = passphrase
        self._cost = cost
        self._salt = os.urandom(_SALT_LEN)
        self._keys: dict[tuple[bytes, Cost], _Keys] = {}
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._closed = False

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        """Raises: KmsDenied (``kms_passphrase_short``): fewer than 12 characters."""
        self._require_open()
        if _characters(self._passphrase) < MIN_CHARACTERS:
            raise KmsDenied(
                f"the passphrase of {self._uri} is shorter than {MIN_CHARACTERS} characters and guessed too easily;"
                f" choose a longer one, best several random words",
                kind=SHORT,
            )
        return self._wrap(secret, context)

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        """Raises: KmsDenied (``kms_passphrase_wrong``); Tampered."""
        self._require_open()
        salt, sealed = self._salt_and_sealed(wrapped)
        keys = self._keys_for(salt, self._cost_of(wrapped))
        if not hmac.compare_digest(_utf8(keys.key_id), _utf8(wrapped.key_id)):
            # the id that the passphrase gives stays untold: for a salt of a stranger's choice it would help to guess
            raise KmsDenied(
                f"the passphrase of {self._uri} is not the one under which key {wrapped.key_id!r} was made, unless that wrap was"
                f" forged; put the right one there",
                kind=WRONG,
            )
        nonce, ciphertext = sealed[:_NONCE_LEN], sealed[_NONCE_LEN:]
        try:
            return Secret(keys.cipher.decrypt(nonce, ciphertext, _associated_data(wrapped, context)))
        except InvalidTag as error:
            raise self._tampered(wrapped) from error

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        """Under a salt and at the cost of today."""
        return self.wrap(self.unwrap(wrapped, context), context)

    def check(self) -> None:
        """Whether it is the right passphrase shows at the first unwrap."""
        self._require_open()
        probe, context = Secret(os.urandom(_KEY_LEN)), b"e4 probe"
        if self.unwrap(self._wrap(probe, context), context) != probe:
            raise KmsError(f"{self._uri} does not give back what it wrapped; do not use this machine")

    def close(self) -> None:
        with self._lock_here():
            self._closed = True
            self._passphrase = Secret(b"")
            self._keys.clear()

    def _wrap(self, secret: Secret, context: bytes) -> Wrapped:
        keys, nonce = self._keys_for(self._salt, self._cost), os.urandom(_NONCE_LEN)
        head = Wrapped(keys.key_id, str(self._cost), b"")
        sealed = nonce + keys.cipher.encrypt(nonce, secret, _associated_data(head, context))
        return Wrapped(head.key_id, head.mechanism, self._salt + _checksum(head, self._salt, sealed) + sealed)

    def _salt_and_sealed(self, wrapped: Wrapped) -> tuple[bytes, bytes]:
        salt, sealed = wrapped.blob[:_SALT_LEN], wrapped.blob[_SEALED_AT:]
        if len(sealed) < _NONCE_LEN + _TAG_LEN or not hmac.compare_digest(
            _checksum(wrapped, salt, sealed), wrapped.blob[_SALT_LEN:_SEALED_AT]
        ):
            raise self._tampered(wrapped)
        return salt, sealed

    def _cost_of(self, wrapped: Wrapped) -> Cost:
        try:
            return Cost.parse(wrapped.mechanism)
        except InvalidInput as error:
            raise Tampered(
                f"{wrapped.mechanism!r} is not how a passphrase wraps here: it was changed, or made by a newer release; restore"
                f" the wrap from a backup"
            ) from error

    def _keys_for(self, salt: bytes, cost: Cost) -> _Keys:
        name = salt, cost
        # one derivation at a time, for each takes much memory; several that need the same wait for one
        with self._lock_here():
            self._require_open()
            keys = self._keys.get(name)
            if keys is None:
                if len(self._keys) >= _KEPT:
                    del self._keys[next(iter(self._keys))]
                keys = self._keys[name] = self._derive(salt, cost)
            return keys

    def _lock_here(self) -> threading.Lock:
        # in a forked child: a thread that did not come along may have held the lock
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock

    def _derive(self, salt: bytes, cost: Cost) -> _Keys:
        root = bytearray(_KEY_LEN)
        try:
            argon2.derive_into(root, self._passphrase, salt, **asdict(cost))
            kek = _expand(root, b"e4 passphrase kek v1", _KEY_LEN)
            cipher = AESGCMSIV(kek)  # has a copy
            kek[:] = bytes(_KEY_LEN)
            return _Keys(cipher, _expand(root, b"e4 passphrase key id v1", _KEY_ID_LEN).hex())
        except MemoryError:
            raise KmsUnavailable(
                f"deriving a key from {self._uri} needs {cost.memory_kib} KiB of free memory; free some"
            ) from None
        finally:
            root[:] = bytes(_KEY_LEN)

    def _require_open(self) -> None:
        if self._closed:
            raise KmsError("the KMS is closed; open it again")

    def _tampered(self, wrapped: Wrapped) -> Tampered:
        return Tampered(
            f"a secret wrapped by {self._uri} under key {wrapped.key_id!r} was changed or belongs elsewhere;"
            f" restore it from a backup"
        )


@dataclass(frozen=True, slots=True)
class _Keys:
    """What one salt at one cost makes of the passphrase."""

    cipher: AESGCMSIV
    key_id: str


def _expand(root: bytearray, info: bytes, length: int) -> bytearray:
    key = bytearray(length)
    HKDF(SHA256(), length, None, info).derive_into(root, key)
    return key


def _checksum(head: Wrapped, salt: bytes, sealed: bytes) -> bytes:
    # without a key, so no proof: it tells rot and clumsy changes from a wrong passphrase, before Argon2id runs
    fields = canonical(b"e4 passphrase sum v1", _utf8(head.mechanism), _utf8(head.key_id), salt, sealed)
    return sha256(fields).digest()[:_CHECKSUM_LEN]


def _associated_data(head: Wrapped, context: bytes) -> bytes:
    return canonical(b"e4 passphrase kms v1", _utf8(head.mechanism), _utf8(head.key_id), context)


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _characters(passphrase: Secret) -> int:
    return len(passphrase.decode(errors="replace"))


def _read(uri: str) -> Secret:
    scheme, _, place = uri.partition(":")
    if scheme == "passphrase" and (variable := _VARIABLE.fullmatch(place)):
        return _of_variable(variable[1])
    if scheme == "passphrase" and place.startswith("///"):
        return _of_file(_path(place))
    raise _bad_uri()


def _path(place: str) -> Path:
    try:
        return path_of(f"file:{place}")
    except InvalidInput:
        raise _bad_uri() from None


def _of_variable(name: str) -> Secret:
    value = os.environb.get(name.encode())
    if value is None:
        raise KeyNotFound(f"the environment variable {name} is not set; set it to the passphrase")
    return _first_line(value)


def _of_file(path: Path) -> Secret:
    try:
        return _first_line(files.read(path))
    except StorageError as error:
        if error.kind == files.MISSING:
            raise KeyNotFound(f"{path} does not exist; write the passphrase there, with mode 600") from error
        raise KmsError(str(error)) from error


def _first_line(data: bytes) -> Secret:
    return Secret(data.partition(b"\n")[0].rstrip(b"\r"))


def _bad_uri() -> InvalidInput:
    return InvalidInput(
        "a passphrase URI is passphrase:///path/to/file or passphrase:env:NAME; the passphrase itself does not belong into it",
        kind="bad_uri",
    )
