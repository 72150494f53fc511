# SPDX-License-Identifier: Apache-2.0
"""The data encryption keys (DEKs) of one database: made, unwrapped, and put to use.

A DEK is a 32-byte root secret, one per purpose and version, stored only as KMSes have wrapped it, in one wrap or several. From
each root secret HKDF-SHA256 (RFC 5869) makes working keys and a check value, bound to database, purpose, version and use; so a
DEK moved elsewhere fails even where a KMS binds no context. This module knows no clock, no database and no files.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e4core.errors import InvalidInput, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import Kms, Wrapped
from e4kms.records import (
    AES_256_GCM_SIV,
    HEADER_LEN,
    SUITES,
    UNKNOWN_VERSION,
    VERSION_LEN,
    AuthorityRow,
    Cell,
    MacKey,
    RecordKey,
    canonical,
    record_header,
    refusal,
    version_bytes,
)

DATABASE_ID_LEN = 16
ROOT_LEN = 32
CHECK_VALUE_LEN = 16

_VERSION_MAX = 2**32 - 1


class _Stored(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise Tampered(f"{value!r} is no {cls.__name__.lower()} of a DEK; restore the row from a backup")


class Purpose(_Stored):
    """What a DEK is for. Made from a stored string; raises Tampered for any other."""

    RECORDS = "records"
    AUDIT = "audit"
    AUTHORITY = "authority"
    LOOKUP = "lookup"


class State(_Stored):
    """What a DEK may still do. A retired one is not even unwrapped: nothing may name it any more, no backup either."""

    ACTIVE = "active"
    DECRYPT_ONLY = "decrypt_only"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Wrap:
    """A root secret as the KMS at ``uri`` can open it; wraps are tried in the order of their slots."""

    slot: int
    uri: str
    wrapped: Wrapped


@dataclass(frozen=True, slots=True)
class Dek:
    """One version of a DEK, as it is stored; nothing in it is secret. ``version`` is 1 to 2**32 - 1, ``check_value`` 16 bytes."""

    purpose: Purpose
    version: int
    state: State
    check_value: bytes
    wraps: tuple[Wrap, ...]

    def __str__(self) -> str:
        return f"version {self.version} of the {self.purpose} DEK"


def create(purpose: Purpose, version: int, database_id: bytes, kms: Kms, uri: str) -> Dek:
    """Make a DEK, active, with one wrap in slot 0; proved to open again, as nothing else can ever open what it will seal.

    Args: database_id: 16 B, random, one per database.  uri: names ``kms`` when the DEK is unwrapped.
    Raises: InvalidInput; KmsError.
    """
    bound = _Binding(purpose, version, database_id)
    root = Secret(os.urandom(ROOT_LEN))
    wraps = (Wrap(0, uri, kms.wrap(root, bound.context())),)
    dek = Dek(purpose, version, State.ACTIVE, bound.check_value(root), wraps)
    _unwrap(dek, bound, {uri: kms}, set())
    return dek


class Keyring:
    """The unwrapped DEKs of one database, ready for use from any thread; after `close` every use is a KmsError.

    ``passed_over`` holds the URIs of KMSes that did not answer while others did: tell the operator, failover must not be silent.
    """

    __slots__ = ("_macs", "_openers", "_sealer", "_verifiers", "passed_over")

    def __init__(
        self, roots: Mapping[_Binding, Secret], newest: Mapping[Purpose, int], passed_over: Iterable[str]
    ) -> None:
        """`unwrap` makes keyrings; what comes in here is checked."""
        self.passed_over = frozenset(passed_over)
        self._openers = _record_keys(roots)
        self._verifiers = _mac_keys(roots)
        self._sealer: RecordKey | None = self._openers[record_header(AES_256_GCM_SIV, newest[Purpose.RECORDS])]
        self._macs: dict[Purpose, MacKey] = {
            purpose: self._verifiers[purpose, version_bytes(version)]
            for purpose, version in newest.items()
            if purpose is not Purpose.RECORDS
        }

    @classmethod
    def unwrap(cls, deks: Iterable[Dek], database_id: bytes, kms_by_uri: Mapping[str, Kms]) -> Self:
        """Unwrap and check every DEK that is not retired, or none at all.

        A KMS that is unavailable, or not in ``kms_by_uri``, is passed over for the next wrap; any other failure is final, an
        alarm above all.
        Args: deks: each purpose with one active version at least.  database_id: 16 B, as given to `create`.
        Raises: Tampered; KmsUnavailable: no KMS of some DEK answers; KeyNotFound; KmsError; InvalidInput.
        """
        held = [dek for dek in deks if dek.state is not State.RETIRED]
        newest = {purpose: _newest(purpose, held) for purpose in Purpose}
        passed_over: set[str] = set()
        bindings = [_Binding(dek.purpose, dek.version, database_id) for dek in held]
        roots = {b: _unwrap(dek, b, kms_by_uri, passed_over) for dek, b in zip(held, bindings, strict=True)}

        return cls(roots, newest, passed_over)

    def seal(self, cell: Cell, plaintext: bytes) -> bytes:
        """The record (`e4kms.records`) of ``plaintext`` for this cell alone, under the newest active version: 35 B longer."""
        if self._sealer is None:
            raise _closed()
        return self._sealer.seal(cell, plaintext)

    def open(self, cell: Cell, record: bytes) -> Secret:
        """What was sealed into this cell.

        Raises: Tampered; with the kind ``unknown_version`` another process may have made a new version: load the DEKs again, once.
        """
        key = self._openers.get(record[:HEADER_LEN])
        if key is None:
            raise _closed() if self._sealer is None else refusal(cell, record)
        return key.open(cell, record)

    def mac(self, row: AuthorityRow) -> bytes:
        """The MAC to store with ``row``: 36 B, under the newest active authority key. Raises: InvalidInput: a field."""
        return self._mac(Purpose.AUTHORITY).tag(row.encoded())

    def verify_mac(self, row: AuthorityRow, stored: bytes) -> None:
        """Raises: Tampered (``unknown_version`` as in `open`); InvalidInput: a field."""
        self._verify(Purpose.AUTHORITY, row.encoded(), stored, f"the MAC of row {row.row.hex()} in {row.table}")

    def audit_mac(self, entry: bytes) -> bytes:
        """The MAC to chain an audit record by: 36 B, under the newest active audit key."""
        return self._mac(Purpose.AUDIT).tag(entry)

    def verify_audit_mac(self, entry: bytes, stored: bytes) -> None:
        """Raises: Tampered (``unknown_version`` as in `open`)."""
        self._verify(Purpose.AUDIT, entry, stored, "the MAC of an audit record")

    def lookup(self, value: bytes) -> bytes:
        """32 bytes to find a secret by without storing it: HMAC-SHA256 under the newest active lookup key."""
        return self._mac(Purpose.LOOKUP).mac(value)

    def close(self) -> None:
        """Forget all keys and wipe those that lie in memory of ours; copies inside OpenSSL go when it frees them."""
        keys: tuple[RecordKey | MacKey, ...] = (*self._openers.values(), *self._verifiers.values())
        self._sealer, self._openers, self._macs, self._verifiers = None, {}, {}, {}
        for key in keys:
            key.wipe()

    def __reduce__(self) -> NoReturn:
        raise TypeError("keyrings are not pickled")

    def _mac(self, purpose: Purpose) -> MacKey:
        key = self._macs.get(purpose)
        if key is None:
            raise _closed()
        return key

    def _verify(self, purpose: Purpose, message: bytes, stored: bytes, what: str) -> None:
        key = self._verifiers.get((purpose, stored[:VERSION_LEN]))
        if key is None:
            if self._sealer is None:
                raise _closed()
            raise Tampered(f"{what} names no version of the {purpose} DEK that is held here", kind=UNKNOWN_VERSION)
        if not hmac.compare_digest(key.tag(message), stored):
            raise Tampered(f"{what} does not fit; it was changed in the database: restore it from a backup")


@dataclass(frozen=True, slots=True)
class _Binding:
    """What every key of a DEK is bound to."""

    purpose: Purpose
    version: int
    database_id: bytes

    def __post_init__(self) -> None:
        if not 1 <= self.version <= _VERSION_MAX:
            raise InvalidInput(f"a DEK version is 1 to {_VERSION_MAX}, not {self.version}")
        if len(self.database_id) != DATABASE_ID_LEN:
            raise InvalidInput(f"a database id is {DATABASE_ID_LEN} bytes long, not {len(self.database_id)}")

    def context(self) -> bytes:
        return canonical(b"e4 dek wrap v1", self.database_id, self.purpose.encode(), version_bytes(self.version))

    def derive(self, root: Secret, use: str, length: int = 32) -> bytearray:
        info = canonical(b"e4 dek v1", self.purpose.encode(), version_bytes(self.version), use.encode())
        key = bytearray(length)
        HKDF(SHA256(), length, self.database_id, info).derive_into(root, key)
        return key

    def check_value(self, root: Secret) -> bytes:
        return MacKey(self.version, self.derive(root, "check")).mac(self.context())[:CHECK_VALUE_LEN]


def _closed() -> KmsError:
    return KmsError("the keyring is closed; unwrap the DEKs again")


def _newest(purpose: Purpose, deks: Iterable[Dek]) -> int:
    active = [dek.version for dek in deks if dek.purpose is purpose and dek.state is State.ACTIVE]
    if not active:
        raise KmsError(f"there is no active version of the {purpose} DEK; restore its row from a backup")
    return max(active)


def _unwrap(dek: Dek, bound: _Binding, kms_by_uri: Mapping[str, Kms], passed_over: set[str]) -> Secret:
    uris = ", ".join(wrap.uri for wrap in dek.wraps) or "none"
    wraps = sorted((wrap for wrap in dek.wraps if wrap.uri in kms_by_uri), key=lambda wrap: wrap.slot)
    if not wraps:
        raise KmsError(f"{dek} is wrapped by none of the configured KMSes; configure one of: {uris}")
    for wrap in wraps:
        try:
            root = kms_by_uri[wrap.uri].unwrap(wrap.wrapped, bound.context())
        except KmsUnavailable:
            passed_over.add(wrap.uri)
            continue
        if len(root) != ROOT_LEN or not hmac.compare_digest(bound.check_value(root), dek.check_value):
            raise Tampered(f"{dek} unwrapped by {wrap.uri} is not the one that was made; restore its row from a backup")
        return root
    raise KmsUnavailable(f"no KMS that can unwrap {dek} answers; try again later, or mend one of: {uris}")


def _record_keys(roots: Mapping[_Binding, Secret]) -> dict[bytes, RecordKey]:
    keys = [
        RecordKey(suite, bound.version, bound.database_id, bound.derive(root, suite.name, suite.key_len))
        for bound, root in roots.items()
        if bound.purpose is Purpose.RECORDS
        for suite in SUITES.values()
    ]
    return {key.header: key for key in keys}


def _mac_keys(roots: Mapping[_Binding, Secret]) -> dict[tuple[Purpose, bytes], MacKey]:
    return {
        (bound.purpose, version_bytes(bound.version)): MacKey(bound.version, bound.derive(root, "mac"))
        for bound, root in roots.items()
        if bound.purpose is not Purpose.RECORDS
    }
