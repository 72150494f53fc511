# SPDX-License-Identifier: Apache-2.0
"""What protects a row: the record format of its sealed columns, and the MAC over what it grants.

A record is bound to its place: 0x01 | suite (1 B) | flags (1 B, zero) | DEK version (4 B, little-endian) | nonce | ciphertext |
tag. Associated data: `canonical` of domain, the 7 header bytes, database id, logical table, column, row id. Names are logical, so
that renaming a column in SQL does not brick its data. Not hidden: the length of the plaintext, and whether there is one. Not
prevented: putting back an older record of the very same cell; the MAC over the row, with its generation, is for that.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
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


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a record stands: logical names of table and column, and an id of the row that never changes."""

    table: str
    column: str
    row: bytes

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of row {self.row.hex()}"


@dataclass(frozen=True, slots=True)
class AuthorityRow:
    """A row that grants something: logical table, row id, a generation that only grows, and all granting fields in fixed order.

    A ``bool`` counts as the int it is, as some databases return it so; any other type is refused.
    """

    table: str
    row: bytes
    generation: int
    fields: tuple[Field, ...]

    def encoded(self) -> bytes:
        """The bytes that are MACed; two different rows never give the same. Raises: InvalidInput: a field of another type."""
        try:
            fields = [_tagged(field) for field in (self.table, self.row, self.generation, *self.fields)]
        except UnicodeEncodeError as error:
            raise InvalidInput(f"a granting field of {self.table!r} is no valid UTF-8", kind="bad_utf8") from error
        return canonical(b"e4 authority v1", *fields)


class RecordCipher(Protocol):
    """The shape of the AEADs of ``cryptography``."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes: ...
    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes, /) -> bytes:
        """Raises: InvalidTag."""
        ...


@dataclass(frozen=True, slots=True)
class RecordSuite:
    """How records are sealed. ``name`` goes into the key derivation, so that no key serves two suites; lengths in bytes."""

    number: int
    name: str
    key_len: int
    nonce_len: int
    tag_len: int
    cipher: Callable[[bytearray], RecordCipher]


# Nonces are random, as several processes seal under one DEK and a restored database must not repeat a counter. A repeated nonce
# does no harm here: AES-GCM-SIV then shows only that the same cell got the same content twice, so a 96-bit nonce needs no
# birthday bound (RFC 8452, section 9). Number 1 is kept for AES-256-GCM under a key per record, for FIPS.
AES_256_GCM_SIV = RecordSuite(number=2, name="aes-256-gcm-siv", key_len=32, nonce_len=12, tag_len=16, cipher=AESGCMSIV)
SUITES: Mapping[int, RecordSuite] = MappingProxyType({suite.number: suite for suite in (AES_256_GCM_SIV,)})


def record_header(suite: RecordSuite, dek_version: int) -> bytes:
    """The first 7 B of every record of this suite under this version."""
    return _HEADER.pack(FORMAT, suite.number, 0, dek_version)


class RecordKey:
    """The working key of one DEK version in one suite, made ready once and used many times, from any thread."""

    __slots__ = ("_body", "_bound", "_cipher", "_min_len", "_raw", "_suite", "header")

    def __init__(self, suite: RecordSuite, dek_version: int, database_id: bytes, raw: bytearray) -> None:
        """Takes over ``raw`` (``suite.key_len`` B) and wipes it with `wipe`."""
        self.header = record_header(suite, dek_version)
        self._suite = suite
        self._raw = raw
        self._cipher = suite.cipher(raw)
        self._bound = canonical(_DOMAIN, self.header, database_id)
        self._body = HEADER_LEN + suite.nonce_len
        self._min_len = self._body + suite.tag_len

    def seal(self, cell: Cell, plaintext: bytes) -> bytes:
        nonce = os.urandom(self._suite.nonce_len)
        return self.header + nonce + self._cipher.encrypt(nonce, plaintext, self._associated_data(cell))

    def open(self, cell: Cell, record: bytes) -> Secret:
        """Open a record that begins with ``header``. Raises: Tampered."""
        if len(record) < self._min_len:
            raise Tampered(f"the record in {cell} was cut short; restore it from a backup")
        nonce, ciphertext = record[HEADER_LEN : self._body], record[self._body :]
        try:
            return Secret(self._cipher.decrypt(nonce, ciphertext, self._associated_data(cell)))
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
        # a copy of the keyed state costs a third of keying anew
        state = self._hmac.copy()
        state.update(message)
        return state.finalize()

    def tag(self, message: bytes) -> bytes:
        """What is stored: the version (4 B) and the MAC (32 B)."""
        return self._version + self.mac(message)

    def wipe(self) -> None:
        self._raw[:] = bytes(len(self._raw))


@lru_cache(maxsize=256)
def _column(table: str, column: str) -> bytes:
    return canonical(table.encode(), column.encode())


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
