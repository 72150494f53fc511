# SPDX-License-Identifier: Apache-2.0
"""What protects a row: the record format of its sealed columns, and the MAC over what it grants.

A record is bound to its place: 0x01 | suite (1 B) | flags (1 B, zero) | DEK version (4 B, little-endian) | what the suite makes
of the plaintext. Associated data: `canonical` of domain, the 7 header bytes, database id, logical table, column, row id. Names
are logical, so that renaming a column in SQL does not brick its data. Not hidden: the length of the plaintext, and whether there
is one. Not prevented: putting back an older record of the very same cell; the MAC over the row, with its generation, is for that.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from e4core.errors import InvalidInput, Tampered
from e4core.keys import Secret

FORMAT = 1
HEADER_LEN = 7
UNKNOWN_VERSION = "unknown_version"
"""``kind`` of the error about a DEK version that the keyring does not hold; another process may just have made it."""

MAC_LEN = 36
"""Version of the key (4 B, little-endian), then HMAC-SHA256 (32 B)."""
VERSION_LEN = 4

Field = bytes | str | int | None

_HEADER = struct.Struct("<BBBI")
_LENGTH = struct.Struct("<I").pack
_DOMAIN = b"e4 record v1"


def canonical(*fields: bytes) -> bytes:
    """The one encoding of these fields in this order: each after its length (4 B, little-endian), so none can run into the next."""
    return b"".join([_LENGTH(len(field)) + field for field in fields])


def version_bytes(version: int) -> bytes:
    """A DEK version as it is stored and bound: 4 B, little-endian."""
    return version.to_bytes(VERSION_LEN, "little")


class Cell(NamedTuple):
    """Where a record stands: logical names of table and column, and an id of the row that never changes."""

    table: str
    column: str
    row: bytes

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of row {self.row.hex()}"


class AuthorityRow(NamedTuple):
    """A row that grants something: logical table, row id, a generation that only grows, and all granting fields in fixed order.

    A ``bool`` counts as the int it is, as some databases return it so; any other type is refused.
    """

    table: str
    row: bytes
    generation: int
    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return f"the MAC of row {self.row.hex()} in {self.table}"

    def encoded(self) -> bytes:
        """The bytes that are MACed; two different rows never give the same. Raises: InvalidInput: a field of another type."""
        try:
            return _authority(self.table) + canonical(*map(_tagged, (self.row, self.generation, *self.fields)))
        except UnicodeEncodeError as error:
            raise InvalidInput(f"a granting field of {self.table!r} is no valid UTF-8", kind="bad_utf8") from error


class RecordCipher(Protocol):
    """A working key made ready, used from any thread; makes and opens what follows the header."""

    def seal(self, plaintext: bytes, bound: bytes, /) -> bytes: ...
    def open(self, sealed: bytes, bound: bytes, /) -> bytes:
        """Raises: InvalidTag."""
        ...


@dataclass(frozen=True, slots=True)
class RecordSuite:
    """How records are sealed. ``name`` goes into the key derivation, so that no key serves two suites; lengths in bytes."""

    number: int
    name: str
    key_len: int
    overhead_len: int
    """By how much what follows the header is longer than the plaintext."""
    cipher: Callable[[bytearray], RecordCipher]


class KeyPerRecord:
    """AES-256-GCM (SP 800-38D), each record under a key of its own: salt (24 B) | ciphertext | tag (16 B).

    The record's key is HMAC-SHA256 by the first half of the working key, as in SP 800-108r1, section 4.1, of: counter (4 B, is 1) |
    "e4 record key" | 0 | salt | length in bits (4 B, is 256), both big-endian. The salt is HMAC-SHA256 by the other half, of 24
    random bytes | associated data | plaintext, cut to 24 B. Reasons and bounds: docs/adr/0010-records-of-approved-primitives.md.
    """

    __slots__ = ("_keys", "_random", "_salts")

    def __init__(self, raw: bytearray, random: Callable[[int], bytes] = os.urandom) -> None:
        self._random = random
        with memoryview(raw) as halves:
            self._keys, self._salts = HMAC(halves[:_HALF_LEN], SHA256()), HMAC(halves[_HALF_LEN:], SHA256())

    def seal(self, plaintext: bytes, bound: bytes, /) -> bytes:
        # the plaintext goes in, so that a kernel that repeats its random numbers gives away equal contents of one cell at most
        salt = _hmac(self._salts, self._random(_SALT_LEN) + bound + plaintext)[:_SALT_LEN]
        return salt + self._aead(salt).encrypt(_ONLY_NONCE, plaintext, bound)

    def open(self, sealed: bytes, bound: bytes, /) -> bytes:
        return self._aead(sealed[:_SALT_LEN]).decrypt(_ONLY_NONCE, sealed[_SALT_LEN:], bound)

    def _aead(self, salt: bytes) -> AESGCM:
        return AESGCM(_hmac(self._keys, _BEFORE_SALT + salt + _AFTER_SALT))


_HALF_LEN, _SALT_LEN, _TAG_LEN = 32, 24, 16
_BEFORE_SALT, _AFTER_SALT = b"\0\0\0\1e4 record key\0", (8 * 32).to_bytes(4, "big")
# each key seals one record; from the salt comes the key, and not the nonce, as 96 bits are too few for many random ones
_ONLY_NONCE = bytes(12)

AES_256_GCM = RecordSuite(
    number=1,
    name="aes-256-gcm-key-per-record",
    key_len=2 * _HALF_LEN,
    overhead_len=_SALT_LEN + _TAG_LEN,
    cipher=KeyPerRecord,
)
SUITES: Mapping[int, RecordSuite] = MappingProxyType({suite.number: suite for suite in (AES_256_GCM,)})


def record_header(suite: RecordSuite, dek_version: int) -> bytes:
    """The first 7 B of every record of this suite under this version."""
    return _HEADER.pack(FORMAT, suite.number, 0, dek_version)


class RecordKey:
    """The working key of one DEK version in one suite, made ready once and used many times, from any thread."""

    __slots__ = ("_bound", "_cipher", "_min_len", "_raw", "header")

    def __init__(self, suite: RecordSuite, dek_version: int, database_id: bytes, raw: bytearray) -> None:
        """Takes over ``raw`` (``suite.key_len`` B) and wipes it with `wipe`."""
        self.header = record_header(suite, dek_version)
        self._raw = raw
        self._cipher = suite.cipher(raw)
        self._bound = canonical(_DOMAIN, self.header, database_id)
        self._min_len = HEADER_LEN + suite.overhead_len

    def seal(self, cell: Cell, plaintext: bytes) -> bytes:
        return self.header + self._cipher.seal(plaintext, self._associated_data(cell))

    def open(self, cell: Cell, record: bytes) -> Secret:
        """Open a record that begins with ``header``. Raises: Tampered."""
        if len(record) < self._min_len:
            raise Tampered(f"the record in {cell} was cut short; restore it from a backup")
        try:
            return Secret(self._cipher.open(record[HEADER_LEN:], self._associated_data(cell)))
        except InvalidTag as error:
            raise Tampered(
                f"the record in {cell} was changed or belongs elsewhere; restore it from a backup"
            ) from error

    def wipe(self) -> None:
        self._raw[:] = bytes(len(self._raw))

    def _associated_data(self, cell: Cell) -> bytes:
        return self._bound + _column(cell.table, cell.column) + canonical(cell.row)


def refusal(cell: Cell, record: bytes) -> Tampered:
    """Why no key is held for the header of ``record``."""
    if len(record) < HEADER_LEN:
        return Tampered(f"the record in {cell} was cut short; restore it from a backup")
    version, suite, flags, dek_version = _HEADER.unpack_from(record)
    if (version, flags) != (FORMAT, 0) or suite not in SUITES:
        return Tampered(
            f"the record in {cell} was changed, or written by a newer release:"
            f" format {version}, suite {suite}, flags {flags:#04x} are not known here"
        )
    return Tampered(
        f"the record in {cell} names version {dek_version} of the records DEK, which is not held here: reload the DEKs, once",
        kind=UNKNOWN_VERSION,
    )


class MacKey:
    """The working key of one DEK version for MACs, made ready once and used many times, from any thread."""

    __slots__ = ("_hmac", "_raw", "_version", "version")

    def __init__(self, dek_version: int, raw: bytearray) -> None:
        """Takes over ``raw`` (32 B) and wipes it with `wipe`."""
        self.version = dek_version
        self._version = version_bytes(dek_version)
        self._raw = raw
        self._hmac = HMAC(raw, SHA256())

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA256, 32 B."""
        return _hmac(self._hmac, message)

    def tag(self, message: bytes) -> bytes:
        """What is stored: the version (4 B) and the MAC (32 B)."""
        return self._version + self.mac(message)

    def wipe(self) -> None:
        self._raw[:] = bytes(len(self._raw))


def _hmac(keyed: HMAC, message: bytes) -> bytes:
    # a copy of the keyed state costs a third of keying anew
    state = keyed.copy()
    state.update(message)
    return state.finalize()


@lru_cache(maxsize=256)
def _column(table: str, column: str) -> bytes:
    return canonical(table.encode(), column.encode())


@lru_cache(maxsize=256)
def _authority(table: str) -> bytes:
    return canonical(b"e4 authority v1", _tagged(table))


def _tagged(field: Field) -> bytes:
    # in the order of how often they come; class patterns of a match statement cost half as much again
    if isinstance(field, bytes):
        return b"b" + field
    if isinstance(field, str):
        return b"s" + field.encode()
    if isinstance(field, int):
        return b"i%x" % field
    if field is None:
        return b"n"
    raise InvalidInput(f"a granting field is bytes, str, int or None, not {type(field).__name__}")
