# SPDX-License-Identifier: Apache-2.0
"""The log, read from its beginning: whether each record is as it was written, none is missing, and the end is the end.

Records under an audit key that is retired have a MAC that nobody can compute any more; they are fixed by the next one that can be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2.audit.chain import Extent, Place, extent, link, record_of
from e4c2.audit.records import CHANGED, CUT_OFF, changed, missing
from e4c2.model import audit_record, dek
from e4c2.rows import Realm, Row, find_all, plain
from e4core.errors import Tampered
from e4kms.deks import Purpose, State
from e4kms.records import UNKNOWN_VERSION, VERSION_LEN, version_bytes

PORTION = 1000


@dataclass(frozen=True, slots=True)
class Read:
    """``upto``: all up to there is right.  ``is_end``: that is all there is."""

    upto: Place
    is_end: bool


def verify(db: sa.Connection, realm: Realm, after: Place | None = None, limit: int = PORTION) -> Read:
    """Verify the next records. Args: after: what `verify` said before; None: from the beginning.

    Raises: Tampered (`MISSING`, `CHANGED`, `CUT_OFF`): names the first record that is not as it was written.
    """
    kept = extent(db, realm)
    place = after or kept.base
    if place.number < kept.base.number:
        place = kept.base  # what was before it has been pruned meanwhile
    statement = sa.select(audit_record).where(audit_record.c.number > place.number)
    rows = db.execute(statement.order_by(audit_record.c.number).limit(limit)).all()
    retired = _retired(db, realm)
    for row in plain(rows):
        place = _next(realm, place, row, retired)
    if len(rows) < limit or place.number == kept.head.number:
        _require_end(db, place, kept)
        return Read(place, is_end=True)
    return Read(place, is_end=False)


def verify_all(db: sa.Connection, realm: Realm) -> Place:
    """All in one transaction. Raises: as `verify`."""
    read = verify(db, realm)
    while not read.is_end:
        read = verify(db, realm, read.upto)
    return read.upto


def place_at(db: sa.Connection, realm: Realm, number: int) -> Place:
    """The place after record ``number``, which is kept or the last that is not; all before is verified. Raises: as `verify`."""
    place = towards(db, realm, number)
    while place.number < number:
        place = towards(db, realm, number, place)
    return place


def towards(db: sa.Connection, realm: Realm, number: int, after: Place | None = None, limit: int = PORTION) -> Place:
    """`place_at`, or how far the next ``limit`` records lead there. Args: after: what this said before. Raises: as `verify`."""
    base = extent(db, realm).base
    place = after if after and after.number > base.number else base
    return verify(db, realm, place, min(limit, number - place.number)).upto if place.number < number else place


def _next(realm: Realm, before: Place, row: Row, retired: Iterable[bytes]) -> Place:
    record = record_of(row)
    if record.number != before.number + 1:
        raise missing(before.number + 1, record.number - 1)
    upto = record.follows(before.hash)
    if not isinstance(row["mac"], bytes):
        raise changed(record.number)
    if row["mac"][:VERSION_LEN] not in retired:
        try:
            realm.keyring.verify_audit_mac(link(upto), row["mac"])
        except Tampered as error:
            if error.kind == UNKNOWN_VERSION:  # perhaps another process has just made it
                raise Tampered(f"record {record.number} of the audit log: {error}", kind=error.kind) from None
            raise changed(record.number) from None
    return Place(record.number, upto)


def _require_end(db: sa.Connection, place: Place, kept: Extent) -> None:
    """Raises: Tampered: the records do not end where the head says."""
    if place.number < kept.head.number:
        first = place.number + 1
        text = f"the audit log was cut off: records {first} to {kept.head.number} are missing at its end"
        raise Tampered(text, kind=CUT_OFF)
    outside = sa.or_(audit_record.c.number <= kept.base.number, audit_record.c.number > kept.head.number)
    added = db.scalar(sa.select(sa.func.min(audit_record.c.number)).where(outside))
    if added is not None:
        raise Tampered(
            f"record {added} of the audit log was not written there by the C2; somebody added it", kind=CHANGED
        )
    if place != kept.head:
        raise changed(place.number)


def _retired(db: sa.Connection, realm: Realm) -> frozenset[bytes]:
    """Versions of the audit key that are destroyed, as the MACs name them."""
    rows = find_all(db, realm, dek, dek.c.purpose == Purpose.AUDIT.value, dek.c.state == State.RETIRED.value)
    return frozenset(version_bytes(row["version"]) for row in rows)
