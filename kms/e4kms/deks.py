# SPDX-License-Identifier: Apache-2.0
"""Data encryption keys (DEKs) as they are stored: 32-byte root secrets, one per purpose and version, each in one wrap or several.

Any wrap opens the DEK, tried in the order of their slots, so a KMS may fail, be added and be taken away without touching a row.
A root secret is bound to database, purpose and version by HKDF-SHA256 (RFC 5869) beside whatever its KMS binds, and a check value
tells before first use whether it is the one that was made. This module knows no clock, no database and no files.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from typing import NoReturn

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e4core.errors import Conflict, E4Error, InvalidInput, KmsDenied, KmsError, KmsUnavailable, NotFound, Tampered
from e4core.keys import Secret
from e4core.kms import HasShares, Kms, Rewraps, Wrapped
from e4kms.records import MacKey, canonical, version_bytes

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
    """What a DEK may do.

    `PREPARED`: open, not yet seal, so that every server holds it before the first record names it. `RETIRED`: nothing, not even be
    unwrapped, as nothing in its database names it any more; a backup has wraps of its own.
    """

    PREPARED = "prepared"
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

    def wrap_at(self, uri: str) -> Wrap:
        """Raises: NotFound."""
        for wrap in self.wraps:
            if wrap.uri == uri:
                return wrap
        raise NotFound(f"{self} has no wrap by {uri}")


@dataclass(frozen=True, slots=True)
class Binding:
    """What every key of a DEK is bound to. Raises: InvalidInput: version or database id (16 B)."""

    purpose: Purpose
    version: int
    database_id: bytes

    def __post_init__(self) -> None:
        if not 1 <= self.version <= _VERSION_MAX:
            raise InvalidInput(f"a DEK version is 1 to {_VERSION_MAX}, not {self.version}")
        if len(self.database_id) != DATABASE_ID_LEN:
            raise InvalidInput(f"a database id is {DATABASE_ID_LEN} bytes long, not {len(self.database_id)}")

    def context(self) -> bytes:
        """What a KMS is to bind a wrap to."""
        return canonical(b"e4 dek wrap v1", self.database_id, self.purpose.encode(), version_bytes(self.version))

    def derive(self, root: Secret, use: str, length: int = 32) -> bytearray:
        """A working key of ``length`` bytes."""
        info = canonical(b"e4 dek v1", self.purpose.encode(), version_bytes(self.version), use.encode())
        key = bytearray(length)
        HKDF(SHA256(), length, self.database_id, info).derive_into(root, key)
        return key

    def check_value(self, root: Secret) -> bytes:
        """16 B that tell whether a root secret is the one that was made."""
        return MacKey(self.version, self.derive(root, "check")).mac(self.context())[:CHECK_VALUE_LEN]


def create(
    purpose: Purpose, version: int, database_id: bytes, kmses: Mapping[str, Kms], state: State = State.ACTIVE
) -> Dek:
    """Make a DEK with a wrap by each of ``kmses`` (URI -> driver, in the order in which they will be tried).

    Each wrap is proved to open again, as nothing else can ever open what the DEK will seal.
    Args: database_id: 16 B, random, one per database.
    Raises: InvalidInput; KmsError.
    """
    bound = Binding(purpose, version, database_id)
    root = Secret(os.urandom(ROOT_LEN))
    dek = Dek(purpose, version, state, bound.check_value(root), ())
    for uri, kms in kmses.items():
        dek = add_wrap(dek, database_id, root, uri, kms)
    return dek


def unwrap(dek: Dek, database_id: bytes, kmses: Mapping[str, Kms], passed_over: set[str] | None = None) -> Secret:
    """The root secret, by the first wrap whose KMS answers; any failure but unavailability is final, an alarm above all.

    A KMS may have moved: if no wrap is by one that is configured, each is tried at those of the same scheme.
    Args: passed_over: takes up the URIs that did not answer.
    Raises: Tampered; KmsUnavailable: none answers; KeyNotFound; KmsDenied; KmsError: none is configured.
    """
    bound, wraps = Binding(dek.purpose, dek.version, database_id), _in_order(dek.wraps)
    if not wraps:
        raise Tampered(f"all wraps of {dek} are gone from the database; restore it from a backup")
    here = [(wrap, wrap.uri) for wrap in wraps if wrap.uri in kmses]
    moved = [(wrap, uri) for wrap, uri in product(wraps, kmses) if _scheme(wrap.uri) == _scheme(uri)]
    unanswered: list[str] = []
    refusal: E4Error | None = None
    for wrap, uri in here or moved:
        try:
            return _open(dek, bound, wrap, kmses[uri])
        except KmsUnavailable as error:
            unanswered.append(str(error))
            if passed_over is not None:
                passed_over.add(uri)
        except E4Error as error:
            if here:
                raise
            if not isinstance(refusal, KmsDenied):  # else it is another key, most likely
                refusal = error
    uris = ", ".join(wrap.uri for wrap in wraps)
    tried = f"; those of the same kind were tried in its place, and one refused: {refusal}" if refusal else ""
    if unanswered:
        why = "; ".join(dict.fromkeys(unanswered))
        raise KmsUnavailable(
            f"no KMS that can unwrap {dek} answers; try again later, or mend one of: {uris}{tried} ({why})"
        )
    leaf = KmsDenied if isinstance(refusal, KmsDenied) else KmsError
    raise leaf(f"{dek} is wrapped by none of the configured KMSes; configure one of: {uris}{tried}") from refusal


def add_wrap(dek: Dek, database_id: bytes, root: Secret, uri: str, kms: Kms, *, first: bool = False) -> Dek:
    """``dek`` with one wrap more, proved to open again; tried after all others, or ``first``.

    Raises: Conflict: it has one by ``uri``; KmsError.
    """
    if any(wrap.uri == uri for wrap in dek.wraps):
        raise Conflict(f"{dek} has a wrap by {uri} already")
    bound = Binding(dek.purpose, dek.version, database_id)
    slots = [wrap.slot for wrap in dek.wraps]
    slot = min(slots, default=1) - 1 if first else max(slots, default=-1) + 1
    made = Wrap(slot, uri, kms.wrap(root, bound.context()))
    _open(dek, bound, made, kms)
    return replace(dek, wraps=_in_order((*dek.wraps, made)))


def remove_wrap(dek: Dek, uri: str) -> Dek:
    """``dek`` without its wrap by ``uri``. Raises: NotFound; Conflict: nothing else could open it."""
    gone = dek.wrap_at(uri)
    if len(dek.wraps) == 1:
        raise Conflict(f"{uri} is the last that can open {dek}; add another wrap first")
    return replace(dek, wraps=tuple(wrap for wrap in dek.wraps if wrap is not gone))


def rewrap(dek: Dek, database_id: bytes, uri: str, kms: Kms) -> Dek:
    """``dek`` with its wrap by ``uri`` made anew, under the newest version of the key there; the old one is checked first.

    Raises: NotFound; Tampered; KmsError.
    """
    bound, old = Binding(dek.purpose, dek.version, database_id), dek.wrap_at(uri)
    root = _open(dek, bound, old, kms)
    context = bound.context()
    wrapped = kms.rewrap(old.wrapped, context) if isinstance(kms, Rewraps) else kms.wrap(root, context)
    made = Wrap(old.slot, uri, wrapped)
    _open(dek, bound, made, kms)
    return replace(dek, wraps=_in_order((*(wrap for wrap in dek.wraps if wrap is not old), made)))


def check_wrap(dek: Dek, database_id: bytes, uri: str, kms: Kms) -> str | None:
    """Prove that the wrap by ``uri`` opens to what was made; which shares of it do not (`e4core.kms.HasShares`), None: none.

    Raises: NotFound; Tampered; KmsError.
    """
    bound, wrap = Binding(dek.purpose, dek.version, database_id), dek.wrap_at(uri)
    _open(dek, bound, wrap, kms)
    return kms.check_shares(wrap.wrapped, bound.context()) if isinstance(kms, HasShares) else None


def _scheme(uri: str) -> str:
    return uri.partition(":")[0]


def _open(dek: Dek, bound: Binding, wrap: Wrap, kms: Kms) -> Secret:
    root = kms.unwrap(wrap.wrapped, bound.context())
    if len(root) != ROOT_LEN or not hmac.compare_digest(bound.check_value(root), dek.check_value):
        raise Tampered(f"{dek} unwrapped by {wrap.uri} is not the one that was made; restore its row from a backup")
    return root


def _in_order(wraps: Iterable[Wrap]) -> tuple[Wrap, ...]:
    return tuple(sorted(wraps, key=lambda wrap: wrap.slot))
