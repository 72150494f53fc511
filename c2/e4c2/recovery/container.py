# SPDX-License-Identifier: Apache-2.0
"""The file that a backup is: a header that anybody may read, then a stream that only the C2's KMSes open.

Header: one line of JSON. Key: AES-256, of this file alone, from a root secret that is wrapped as those of a database are, by the
same KMSes. Stream: chunks of `CHUNK` bytes, each sealed by AES-256-GCM (SP 800-38D) with the header line as associated data and
the nonce: number of the chunk (11 B, big-endian) | 1 if it is the last (1 B). So none can be changed, moved, left out or added,
nor the end be brought forward: the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizar, 2015. No nonce repeats, as no
key serves two files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from e4core.errors import InvalidInput, Tampered
from e4core.jsonform import b64, unb64
from e4core.keys import Secret
from e4core.kms import Kms, Wrapped
from e4kms.deks import CHECK_VALUE_LEN, DATABASE_ID_LEN, ROOT_LEN, Binding, Dek, Purpose, State, Wrap, add_wrap, unwrap

FORMAT = "e4-backup"
VERSION = 1
CHUNK = 2**18
TAG_LEN = 16
HEADER_MAX = 2**20
"""Longest header, in bytes; each KMS adds some hundred."""
_INDEX_LEN = 11
BAD = "bad_backup"
_NO_BACKUP = "this file is no backup that this release reads, or its beginning is damaged; name another"


@dataclass(frozen=True, slots=True)
class FileKey(Dek):
    """The key of one file, wrapped as a DEK is; bound to the id of the file where those are to the id of a database."""

    def __str__(self) -> str:
        return "the key of this backup"


@dataclass(frozen=True, slots=True)
class Header:
    """``id``: 16 random bytes, of this file. ``line``: as it stands in the file."""

    id: bytes
    key: FileKey
    line: bytes

    @classmethod
    def parse(cls, line: bytes) -> Header:
        """Raises: InvalidInput (``bad_backup``)."""
        try:
            return cls._parse(json.loads(line), line)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InvalidInput(_NO_BACKUP, kind=BAD) from error

    @classmethod
    def _parse(cls, body: dict[str, Any], line: bytes) -> Header:
        identity, check_value = unb64(body["id"]), unb64(body["check"])
        wraps = tuple(
            Wrap(slot, str(each["uri"]), Wrapped(str(each["key_id"]), str(each["mechanism"]), unb64(each["blob"])))
            for slot, each in enumerate(body["wraps"])
        )
        if (body["version"], len(identity), len(check_value)) != (
            VERSION,
            DATABASE_ID_LEN,
            CHECK_VALUE_LEN,
        ) or not wraps:
            raise ValueError
        return cls(identity, _key(check_value, wraps), line)


@dataclass(frozen=True, slots=True)
class New:
    """A file that is to be written."""

    header: Header
    _cipher: AESGCM

    @classmethod
    def make(cls, kmses: Mapping[str, Kms]) -> New:
        """Args: kmses: URI -> driver; any of them will open it. Raises: KmsError."""
        identity, root = os.urandom(DATABASE_ID_LEN), Secret(os.urandom(ROOT_LEN))
        key: Dek = _key(_bound(identity).check_value(root), ())
        for uri, kms in kmses.items():
            key = add_wrap(key, identity, root, uri, kms)
        return cls(Header(identity, _key(key.check_value, key.wraps), _line(identity, key)), _cipher(identity, root))

    def seal(self, content: Iterable[bytes]) -> Iterator[bytes]:
        """All of its bytes, piece by piece; once, as its nonces are."""
        return _sealed(content, self._cipher, self.header.line)


def read_header(file: BinaryIO) -> Header:
    """Raises: InvalidInput (``bad_backup``)."""
    line = file.readline(HEADER_MAX)
    if not line.startswith(b'{"format":"' + FORMAT.encode() + b'"') or not line.endswith(b"\n"):
        raise InvalidInput(_NO_BACKUP, kind=BAD)
    return Header.parse(line)


def open_(file: BinaryIO, header: Header, kmses: Mapping[str, Kms]) -> Iterator[bytes]:
    """What was sealed, chunk by chunk; only at its end is it known to be whole.

    Raises: KmsError: none of the KMSes opens it. Tampered: while it is read.
    """
    cipher = _cipher(header.id, unwrap(header.key, header.id, kmses))
    return _opened(file, cipher, header.line)


def _sealed(content: Iterable[bytes], cipher: AESGCM, bound: bytes) -> Iterator[bytes]:
    yield bound
    held, index = bytearray(), 0
    for piece in content:
        held += piece
        while len(held) > CHUNK:  # what is left is never empty, and so can be the last
            yield cipher.encrypt(_nonce(index, False), bytes(held[:CHUNK]), bound)
            del held[:CHUNK]
            index += 1
    yield cipher.encrypt(_nonce(index, True), bytes(held), bound)


def _opened(file: BinaryIO, cipher: AESGCM, bound: bytes) -> Iterator[bytes]:
    chunk, index = file.read(CHUNK + TAG_LEN), 0
    while True:
        following = file.read(CHUNK + TAG_LEN)
        try:
            yield cipher.decrypt(_nonce(index, not following), chunk, bound)
        except InvalidTag:
            raise Tampered(
                f"the backup was changed, cut short or damaged in its chunk {index}; take another one"
            ) from None
        if not following:
            return
        chunk, index = following, index + 1


def _nonce(index: int, is_last: bool) -> bytes:
    return index.to_bytes(_INDEX_LEN, "big") + bytes([is_last])


def _line(identity: bytes, key: Dek) -> bytes:
    wraps = [
        {"uri": wrap.uri, "key_id": of.key_id, "mechanism": of.mechanism, "blob": b64(of.blob)}
        for wrap in key.wraps
        for of in (wrap.wrapped,)
    ]
    body = {"format": FORMAT, "version": VERSION, "id": b64(identity), "check": b64(key.check_value), "wraps": wraps}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def _key(check_value: bytes, wraps: tuple[Wrap, ...]) -> FileKey:
    return FileKey(Purpose.RECORDS, 1, State.ACTIVE, check_value, wraps)


def _bound(identity: bytes) -> Binding:
    # no database has this id, so nothing that is made from the root secret serves two purposes
    return Binding(Purpose.RECORDS, 1, identity)


def _cipher(identity: bytes, root: Secret) -> AESGCM:
    return AESGCM(_bound(identity).derive(root, "backup"))
