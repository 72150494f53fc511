# SPDX-License-Identifier: Apache-2.0
"""The database's own keys as rows: what `e4kms.deks` makes, stored, changed and read again.

That a version was put back, forged or given another state is found like that of any row that grants something; a wrap needs no MAC,
for what it opens to is checked, and whoever deletes one only takes a way in.
"""

from __future__ import annotations

import sqlalchemy as sa

from e4c2.model import dek, dek_wrap
from e4c2.rows import Realm, Row, find_all, insert, update
from e4core.errors import Conflict, NotFound
from e4core.kms import Wrapped
from e4kms.deks import Dek, Purpose, State, Wrap


def load(db: sa.Connection) -> list[Dek]:
    """All DEKs as they are stored, oldest first. Unverified: the key that could is in one of them. Raises: Tampered."""
    wraps: dict[tuple[str, int], list[Wrap]] = {}
    for row in db.execute(sa.select(dek_wrap).order_by(dek_wrap.c.slot)).mappings():
        wrap = Wrap(row["slot"], row["uri"], Wrapped(row["key_id"], row["mechanism"], row["blob"]))
        wraps.setdefault((row["purpose"], row["version"]), []).append(wrap)
    rows = db.execute(sa.select(dek).order_by(dek.c.version, dek.c.purpose)).mappings()
    return [_dek(row, wraps.get((row["purpose"], row["version"]), [])) for row in rows]


def verify(db: sa.Connection, realm: Realm) -> None:
    """Raises: Tampered: what `load` told was forged."""
    find_all(db, realm, dek)


def require(db: sa.Connection, purpose: Purpose, version: int) -> Dek:
    """Raises: NotFound."""
    for each in load(db):
        if (each.purpose, each.version) == (purpose, version):
            return each
    raise NotFound(f"there is no version {version} of the {purpose} DEK")


def add(db: sa.Connection, realm: Realm, made: Dek) -> None:
    """Store a new version. Raises: Conflict: there is one already."""
    insert(
        db,
        realm,
        dek,
        purpose=made.purpose.value,
        version=made.version,
        state=made.state.value,
        check_value=made.check_value,
    )
    _store_wraps(db, made)


def activate(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> None:
    """From now on this prepared version is used for all that is new, those before only for what is old. Raises: NotFound."""
    row = _row(db, realm, purpose, version)
    for former in find_all(db, realm, dek, dek.c.purpose == purpose.value, dek.c.state == State.ACTIVE.value):
        update(db, realm, dek, former, state=State.DECRYPT_ONLY.value)
    update(db, realm, dek, row, state=State.ACTIVE.value)


def retire(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> None:
    """Destroy a former version: without wraps nothing can open it any more. Raises: NotFound. Conflict: not a former one."""
    row = _row(db, realm, purpose, version)
    if row["state"] != State.DECRYPT_ONLY:
        raise Conflict(f"version {version} of the {purpose} DEK is {row['state']}; only a former version is retired")
    update(db, realm, dek, row, state=State.RETIRED.value)
    db.execute(sa.delete(dek_wrap).where(dek_wrap.c.purpose == purpose.value, dek_wrap.c.version == version))


def put_wraps(db: sa.Connection, before: Dek, after: Dek) -> None:
    """Store the wraps of ``after`` in place of those of ``before``. Raises: NotFound. Conflict: changed meanwhile."""
    if require(db, before.purpose, before.version) != before:
        raise Conflict(f"{before} was changed by somebody else meanwhile; try again")
    db.execute(
        sa.delete(dek_wrap).where(dek_wrap.c.purpose == after.purpose.value, dek_wrap.c.version == after.version)
    )
    _store_wraps(db, after)


def _row(db: sa.Connection, realm: Realm, purpose: Purpose, version: int) -> Row:
    rows = find_all(db, realm, dek, dek.c.purpose == purpose.value, dek.c.version == version)
    if not rows:
        raise NotFound(f"there is no version {version} of the {purpose} DEK")
    return rows[0]


def _dek(row: Row, wraps: list[Wrap]) -> Dek:
    return Dek(Purpose(row["purpose"]), row["version"], State(row["state"]), row["check_value"], tuple(wraps))


def _store_wraps(db: sa.Connection, made: Dek) -> None:
    rows = [
        {
            "purpose": made.purpose.value,
            "version": made.version,
            "slot": wrap.slot,
            "uri": wrap.uri,
            "key_id": wrap.wrapped.key_id,
            "mechanism": wrap.wrapped.mechanism,
            "blob": wrap.wrapped.blob,
        }
        for wrap in made.wraps
    ]
    if rows:
        db.execute(sa.insert(dek_wrap), rows)
