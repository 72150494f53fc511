# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the log: when one is due, and what one that somebody witnessed says about this database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import sqlalchemy as sa

from e4c2 import events
from e4c2.audit.chain import Place, cut, database_id, extent
from e4c2.audit.records import HASH_LEN
from e4c2.audit.signing import ED25519, P256, Checkpoint, PublicKey, algorithm
from e4c2.audit.statements import FORKED
from e4c2.audit.verifying import PORTION, place_at, towards
from e4c2.model import audit_checkpoint, audit_key
from e4c2.rows import Realm, Row, find_by, insert, reveal, strange, typed
from e4core.errors import AuthenticationFailed, Conflict, Tampered


class Pace(NamedTuple):
    """When a checkpoint is due: after so many new records, or so long after the last one if there are any."""

    seconds: float
    records: int = 1000


_ID = 1


def make_key(db: sa.Connection, realm: Realm) -> None:
    """The key pair that signs, made with the head of the log."""
    name = P256 if realm.suite.approved else ED25519
    private = algorithm(name).generate()
    public = algorithm(name).public(private)
    insert(db, realm, audit_key, id=_ID, algorithm=name, private=private, public=public)


def public_key(db: sa.Connection, realm: Realm) -> PublicKey:
    """Raises: Tampered."""
    row = _key(db, realm)
    return PublicKey(database_id(db), row["algorithm"], row["public"])


def is_due(db: sa.Connection, realm: Realm, pace: Pace) -> bool:
    """Whether there are records enough, or old enough, after the last checkpoint."""
    head, last = extent(db, realm).head, newest(db)
    new = head.number - (last.number if last else 0)
    # a clock that was ahead must not keep the next one waiting
    return new >= pace.records or (
        new > 0 and (last is None or not last.time <= realm.clock() < last.time + pace.seconds)
    )


def make(db: sa.Connection, realm: Realm, pace: Pace) -> Checkpoint | None:
    """Sign and store the present end of the log, if that is due. Raises: Tampered. KmsError."""
    if not is_due(db, realm, pace):
        return None
    head, key = extent(db, realm).head, _key(db, realm)
    unsigned = Checkpoint(database_id(db), head.number, realm.clock(), head.hash)
    signer = algorithm(key["algorithm"]).signer(reveal(realm, audit_key, key, "private"))
    made = replace(unsigned, signature=signer.sign(unsigned.message()))
    values = {"number": made.number, "time": made.time, "hash": made.hash, "signature": made.signature}
    db.execute(sa.insert(audit_checkpoint), values)
    events.tell(db, realm, events.Kind.AUDIT_CHECKPOINT, number=made.number)
    return made


def newest(db: sa.Connection) -> Checkpoint | None:
    """Raises: Tampered: it holds what is never written there."""
    row = db.execute(sa.select(audit_checkpoint).order_by(audit_checkpoint.c.number.desc()).limit(1)).mappings().first()
    return None if row is None else _checkpoint(db, row)


def newest_signed(db: sa.Connection, realm: Realm) -> Checkpoint | None:
    """Raises: Tampered: this C2 did not sign it; or as `newest`."""
    found = newest(db)
    if found is not None:
        _require_signed(db, realm, found)
    return found


def page(db: sa.Connection, _realm: Realm, after: int = 0, limit: int = 100) -> list[Checkpoint]:
    """Checkpoints by number, those after ``after``. Raises: as `newest`."""
    table = audit_checkpoint
    rows = db.execute(sa.select(table).where(table.c.number > after).order_by(table.c.number).limit(limit)).mappings()
    return [_checkpoint(db, row) for row in rows]


@dataclass(frozen=True, slots=True)
class Comparison:
    """``behind``: how many records that were witnessed this database lacks; ``ahead``: how many it has that were not."""

    behind: int
    ahead: int


def compare(
    db: sa.Connection, realm: Realm, witnessed: Checkpoint, after: Place | None = None, limit: int = PORTION
) -> Comparison | Place:
    """How this database, perhaps restored from a backup, stands to a checkpoint that a witness has kept.

    Verifies ``limit`` records at most; a Place says how far that led, and is ``after`` of the next call.

    Raises: AuthenticationFailed: it is not of this database, or nobody signed it. Tampered (`FORKED`): the log says something else
    up to there; or as `verify`.
    """
    witnessed.verify(public_key(db, realm))
    kept = extent(db, realm)
    if kept.base.number <= witnessed.number <= kept.head.number:
        place = towards(db, realm, witnessed.number, after, limit)
        if place.number < witnessed.number:
            return place
        _require_same(place, witnessed)
    return Comparison(max(0, witnessed.number - kept.head.number), max(0, kept.head.number - witnessed.number))


def prune(db: sa.Connection, realm: Realm, before: float) -> Place:
    """Delete the records up to the last checkpoint that is older than ``before`` (Unix seconds); where the log begins now.

    Raises: Conflict: there is no such checkpoint. Tampered: it is not one of this log.
    """
    table, kept = audit_checkpoint.c, extent(db, realm)
    last = sa.select(audit_checkpoint).where(table.time < before, table.number > kept.base.number)
    row = db.execute(last.order_by(table.number.desc()).limit(1)).mappings().first()
    if row is None:
        raise Conflict("no checkpoint is that old, and the audit log is only cut at one; see e4 audit checkpoints")
    found = _checkpoint(db, row)
    _require_signed(db, realm, found)
    _require_same(place_at(db, realm, found.number), found)  # also, nothing that was changed is done away with unseen
    base = Place(found.number, found.hash)
    cut(db, realm, base)
    db.execute(sa.delete(audit_checkpoint).where(table.number < base.number))
    return base


def _require_same(place: Place, checkpoint: Checkpoint) -> None:
    """Raises: Tampered (`FORKED`): the log, of which there is as much, is another one. Args: place: where the checkpoint is."""
    if place.hash != checkpoint.hash:
        raise Tampered(
            f"up to record {checkpoint.number} the audit log is not the one of which a checkpoint was signed; somebody has"
            " put another in its place",
            kind=FORKED,
        )


def _key(db: sa.Connection, realm: Realm) -> Row:
    row = find_by(db, realm, audit_key, audit_key.c.id, _ID)
    if row is None:
        raise Tampered("the key of the audit log is gone from the database; restore it from a backup")
    return row


def _checkpoint(db: sa.Connection, stored: Row) -> Checkpoint:
    row = typed(audit_checkpoint, stored)
    if len(row["hash"]) != HASH_LEN or row["number"] < 1:
        raise strange(audit_checkpoint)
    return Checkpoint(database_id(db), row["number"], row["time"], row["hash"], row["signature"])


def _require_signed(db: sa.Connection, realm: Realm, checkpoint: Checkpoint) -> None:
    try:
        checkpoint.verify(public_key(db, realm))
    except AuthenticationFailed as error:
        raise Tampered(
            f"checkpoint {checkpoint.number} of the audit log was not signed by this C2", kind=FORKED
        ) from error
