# SPDX-License-Identifier: Apache-2.0
"""The working keys of one database, made from its unwrapped DEKs (`e4kms.deks`), and put to use.

They are held on a lease: after so many seconds or uses every use is refused until the DEKs are unwrapped anew, so that who takes
the key encryption key away stops the C2 too.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn, Self

from e4core.errors import KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import Kms
from e4kms.deks import Binding, Dek, Purpose, State, unwrap
from e4kms.records import (
    AES_256_GCM,
    HEADER_LEN,
    SUITES,
    UNKNOWN_VERSION,
    VERSION_LEN,
    AuthorityRow,
    Cell,
    MacKey,
    RecordKey,
    record_header,
    refusal,
    version_bytes,
)


@dataclass(frozen=True, slots=True)
class Lease:
    """How long unwrapped keys may be used: in seconds, and in uses (one a seal, open, MAC or check)."""

    seconds: float = math.inf
    uses: float = math.inf


UNLIMITED = Lease()


class Keyring:
    """The unwrapped DEKs of one database, ready for use from any thread; after `close` every use is a KmsError.

    ``passed_over`` holds the URIs of KMSes that did not answer while others did: tell the operator, failover must not be silent.
    """

    __slots__ = ("_closed", "_lease", "_left", "_macs", "_openers", "_sealer", "_until", "_verifiers", "passed_over")

    def __init__(
        self,
        roots: Mapping[Binding, Secret],
        newest: Mapping[Purpose, int],
        passed_over: Iterable[str] = (),
        lease: Lease = UNLIMITED,
    ) -> None:
        """`unwrap` makes keyrings; what comes in here is checked."""
        self.passed_over = frozenset(passed_over)
        self._openers = _record_keys(roots)
        self._verifiers = _mac_keys(roots)
        self._sealer: RecordKey | None = self._openers[record_header(AES_256_GCM, newest[Purpose.RECORDS])]
        self._macs: dict[Purpose, MacKey] = {
            purpose: self._verifiers[purpose, version_bytes(version)]
            for purpose, version in newest.items()
            if purpose is not Purpose.RECORDS
        }
        self._lease = lease
        self._until = time.monotonic() + lease.seconds
        self._left = lease.uses
        self._closed = False

    @classmethod
    def unwrap(
        cls,
        deks: Iterable[Dek],
        database_id: bytes,
        kmses: Mapping[str, Kms],
        lease: Lease = UNLIMITED,
    ) -> Self:
        """Unwrap and check every DEK that is not retired, or none at all.

        A KMS that is unavailable, or not in ``kmses`` (URI -> driver), is passed over for the next wrap; all other failures are
        final, an alarm above all.
        Args: deks: each purpose with one active version at least.  database_id: 16 B, as given to `e4kms.deks.create`.
        Raises: Tampered; KmsUnavailable: no KMS of some DEK answers; KeyNotFound; KmsDenied; KmsError; InvalidInput.
        """
        held = [dek for dek in deks if dek.state is not State.RETIRED]
        newest = {purpose: _newest(purpose, held) for purpose in Purpose}
        passed_over: set[str] = set()
        roots = {
            Binding(dek.purpose, dek.version, database_id): unwrap(dek, database_id, kmses, passed_over) for dek in held
        }
        return cls(roots, newest, passed_over, lease)

    def renew(self, fresh: Keyring) -> None:
        """Take over the keys and the lease of ``fresh``, of the same database; nothing in use is disturbed.

        Raises: KmsError: closed.
        """
        if self._closed:
            raise self._over()
        known = [*self._keys(), *fresh._keys()]
        # keys held already stay: another thread may be in the midst of using one
        self._openers = {**fresh._openers, **{h: key for h, key in self._openers.items() if h in fresh._openers}}
        self._verifiers = {**fresh._verifiers, **{v: k for v, k in self._verifiers.items() if v in fresh._verifiers}}
        if fresh._sealer is not None:
            self._sealer = self._openers[fresh._sealer.header]
        self._macs = {
            purpose: self._verifiers[purpose, version_bytes(key.version)] for purpose, key in fresh._macs.items()
        }
        self.passed_over = fresh.passed_over
        self._lease, self._until, self._left = fresh._lease, fresh._until, fresh._left
        self._wipe_all_but_held(known)

    def activate(self, purpose: Purpose, version: int) -> None:
        """Make a version that is held the one for all that is new. Raises: KmsError: it is not held."""
        if purpose is Purpose.RECORDS:
            sealer = self._openers.get(record_header(AES_256_GCM, version))
            self._sealer = sealer or self._not_held(purpose, version)
        else:
            mac = self._verifiers.get((purpose, version_bytes(version)))
            self._macs[purpose] = mac or self._not_held(purpose, version)

    def follow(self, purpose: Purpose, newest: bytes) -> None:
        """Make the version that `newest` of another keyring names the one for all that is new here, if it is a later one.

        Raises: KmsUnavailable: it is not held yet. KmsError: closed.
        """
        mine, theirs = _version(self.newest(purpose)), _version(newest)
        if theirs > mine:
            try:
                self.activate(purpose, theirs)
            except KmsError as error:
                raise KmsUnavailable(
                    f"another C2 on this database has made new keys, which are on their way: {error}"
                ) from error

    def forget(self, purpose: Purpose, version: int) -> None:
        """Give up a former version: what names it is neither opened nor accepted any more."""
        known = self._keys()
        headers = [record_header(suite, version) for suite in SUITES.values()] if purpose is Purpose.RECORDS else []
        mac = (purpose, version_bytes(version))
        self._openers = {header: key for header, key in self._openers.items() if header not in headers}
        self._verifiers = {name: key for name, key in self._verifiers.items() if name != mac}
        self._wipe_all_but_held(known)

    @property
    def seconds_left(self) -> float:
        """Of the lease; 0 when it is over, by its uses too."""
        return max(0.0, self._until - time.monotonic()) if self._left > 0 else 0.0

    @property
    def half_over(self) -> bool:
        """Whether it is time to unwrap anew."""
        return self.seconds_left < self._lease.seconds / 2 or self._left < self._lease.uses / 2

    def require(self) -> None:
        """Raises: KmsUnavailable: the lease is over. KmsError: closed."""
        self._in_use()

    def expire(self) -> None:
        """Forget all keys until `renew`; every use is a KmsUnavailable until then."""
        self._left = 0
        self._forget()

    def newest(self, purpose: Purpose) -> bytes:
        """How everything begins that is made under the newest version now: 7 B of a record, 4 B of a MAC. Raises: KmsError."""
        if purpose is Purpose.RECORDS:
            return self._in_use().header
        return version_bytes(self._mac(purpose).version)

    def seal(self, cell: Cell, plaintext: bytes) -> bytes:
        """The record (`e4kms.records`) of ``plaintext`` for this cell alone, under the newest active version: 47 B longer."""
        return self._in_use().seal(cell, plaintext)

    def open(self, cell: Cell, record: bytes) -> Secret:
        """What was sealed into this cell.

        Raises: Tampered; with the kind ``unknown_version`` another process may have made a new version: load the DEKs again, once.
        """
        self._in_use()
        key = self._openers.get(record[:HEADER_LEN])
        if key is None:
            self._in_use()  # another thread may just have ended the lease
            raise refusal(cell, record)
        return key.open(cell, record)

    def mac(self, row: AuthorityRow) -> bytes:
        """The MAC to store with ``row``: 36 B, under the newest active authority key. Raises: InvalidInput: a field."""
        return self._mac(Purpose.AUTHORITY).tag(row.encoded())

    def verify_mac(self, row: AuthorityRow, stored: bytes) -> None:
        """Raises: Tampered (``unknown_version`` as in `open`); InvalidInput: a field."""
        self._verify(Purpose.AUTHORITY, row.encoded(), stored, row)

    def audit_mac(self, entry: bytes) -> bytes:
        """The MAC to chain an audit record by: 36 B, under the newest active audit key."""
        return self._mac(Purpose.AUDIT).tag(entry)

    def verify_audit_mac(self, entry: bytes, stored: bytes) -> None:
        """Raises: Tampered (``unknown_version`` as in `open`)."""
        self._verify(Purpose.AUDIT, entry, stored, "the MAC of an audit record")

    def lookup(self, value: bytes) -> bytes:
        """What to find a secret by without storing it: 36 B, under the newest active lookup key."""
        return self._mac(Purpose.LOOKUP).tag(value)

    def lookups(self, value: bytes) -> list[bytes]:
        """`lookup` under every version held: how a secret may be on record that was stored before a rotation."""
        self._in_use()
        keys = [key for (purpose, _), key in self._verifiers.items() if purpose is Purpose.LOOKUP]
        if not keys:
            raise self._over()
        return [key.tag(value) for key in keys]

    def close(self) -> None:
        """Forget all keys and wipe those that lie in memory of ours; copies inside OpenSSL go when it frees them."""
        self._closed = True
        self._forget()

    def __reduce__(self) -> NoReturn:
        raise TypeError("keyrings are not pickled")

    def _in_use(self) -> RecordKey:
        """The sealing key, and one use less."""
        self._left -= 1
        sealer = self._sealer
        if sealer is None or self._left < 0 or time.monotonic() > self._until:
            raise self._over()
        return sealer

    def _forget(self) -> None:
        keys = self._keys()
        self._sealer, self._openers, self._macs, self._verifiers = None, {}, {}, {}
        for key in keys:
            key.wipe()

    def _wipe_all_but_held(self, known: list[RecordKey | MacKey]) -> None:
        held = {id(key) for key in self._keys()}
        for key in known:
            if id(key) not in held:
                key.wipe()

    def _keys(self) -> list[RecordKey | MacKey]:
        return [*self._openers.values(), *self._verifiers.values()]

    def _not_held(self, purpose: Purpose, version: int) -> NoReturn:
        raise KmsError(f"version {version} of the {purpose} DEK is not held here; unwrap the DEKs again")

    def _over(self) -> KmsError:
        if self._closed:
            return KmsError("the keyring is closed; unwrap the DEKs again")
        return KmsUnavailable(
            "the keys of the database are held no longer, and their KMS has not given them again; mend the KMS"
        )

    def _mac(self, purpose: Purpose) -> MacKey:
        self._in_use()
        key = self._macs.get(purpose)
        if key is None:  # another thread has just ended the lease
            raise self._over()
        return key

    def _verify(self, purpose: Purpose, message: bytes, stored: bytes, what: object) -> None:
        self._in_use()
        key = self._verifiers.get((purpose, stored[:VERSION_LEN]))
        if key is None:
            self._in_use()
            raise Tampered(f"{what} names no version of the {purpose} DEK that is held here", kind=UNKNOWN_VERSION)
        if not hmac.compare_digest(key.tag(message), stored):
            raise Tampered(f"{what} does not fit; it was changed in the database: restore it from a backup")


def _version(newest: bytes) -> int:
    return int.from_bytes(newest[-VERSION_LEN:], "little")


def _newest(purpose: Purpose, deks: Iterable[Dek]) -> int:
    active = [dek.version for dek in deks if dek.purpose is purpose and dek.state is State.ACTIVE]
    if not active:
        raise KmsError(f"there is no active version of the {purpose} DEK; restore its row from a backup")
    return max(active)


def _record_keys(roots: Mapping[Binding, Secret]) -> dict[bytes, RecordKey]:
    keys = [
        RecordKey(suite, bound.version, bound.database_id, bound.derive(root, suite.name, suite.key_len))
        for bound, root in roots.items()
        if bound.purpose is Purpose.RECORDS
        for suite in SUITES.values()
    ]
    return {key.header: key for key in keys}


def _mac_keys(roots: Mapping[Binding, Secret]) -> dict[tuple[Purpose, bytes], MacKey]:
    return {
        (bound.purpose, version_bytes(bound.version)): MacKey(bound.version, bound.derive(root, "mac"))
        for bound, root in roots.items()
        if bound.purpose is not Purpose.RECORDS
    }
