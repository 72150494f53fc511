# SPDX-License-Identifier: Apache-2.0
"""The keys of a database: made at the first start, unwrapped at every later one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from e4c2 import c2keys, deks, formats, ledger
from e4c2.audit import chain, checkpoints
from e4c2.audit.records import Act
from e4c2.model import realm as realm_table
from e4c2.model import restoring
from e4c2.recovery import restored
from e4c2.rows import Realm, Row, strange, typed
from e4c2.token_keys import TokenKeys
from e4core.errors import Conflict, StorageError, Tampered
from e4core.kms import Kms
from e4core.suite import Suite
from e4kms.deks import DATABASE_ID_LEN, Purpose, create
from e4kms.keyring import UNLIMITED, Keyring, Lease

FIRST_START, LOG_BEGUN = "c2_first_start", "audit_begun"
"""Acts of the C2 by itself: it made this database, or found one that had no audit log yet."""
INTERRUPTED = "a restore into this database did not come to its end; do it again: e4 backup restore"


def open_realm(
    db: sa.Connection,
    suite: Suite,
    kmses: Mapping[str, Kms],
    clock: Callable[[], float],
    lease: Lease = UNLIMITED,
    token_keys: TokenKeys | None = None,
) -> Realm:
    """The realm of this database, made first if it is empty.

    Args: kmses: URI -> driver; new keys are wrapped by all of them, in this order.
        token_keys: where the C2's own keys are made, if not in the database.
    Raises: Conflict: the database is of another suite. KmsError. Tampered.
    """
    row = _stored(db)
    if row is None:
        return _create(db, suite, kmses, clock, lease, token_keys)
    if row["suite"] != suite.name:
        raise Conflict(f"this database is of the suite {row['suite']}, not {suite.name}; one C2 runs one suite")
    realm = Realm(
        suite, Keyring.unwrap(deks.load(db), row["database_id"], kmses, lease), clock, token_keys, formats.of(suite)
    )
    ledger.verify(db, realm.keyring)
    deks.verify(db, realm)
    c2keys.verify(db, realm)
    restored.begin(db, realm)
    if not chain.is_begun(db):
        _begin_log(db, realm, LOG_BEGUN)
    return realm


def is_new(db: sa.Connection) -> bool:
    """Whether there are no keys yet. Raises: Tampered."""
    return _stored(db) is None


def _stored(db: sa.Connection) -> Row | None:
    """The one row of the realm; None: the database is new. Raises: Tampered."""
    rows = db.execute(sa.select(realm_table)).mappings().all()
    if len(rows) > 1 or (not rows and deks.load(db)):
        raise Tampered("the table realm has not the one row that was written; restore the database from a backup")
    for row in rows:
        if len(typed(realm_table, row)["database_id"]) != DATABASE_ID_LEN:
            raise strange(realm_table)
        return row
    if db.scalar(sa.select(restoring.c.id)) is not None:
        raise StorageError(INTERRUPTED)
    return None


def _create(
    db: sa.Connection,
    suite: Suite,
    kmses: Mapping[str, Kms],
    clock: Callable[[], float],
    lease: Lease,
    token_keys: TokenKeys | None,
) -> Realm:
    database_id = os.urandom(16)
    db.execute(sa.insert(realm_table).values(id=1, database_id=database_id, suite=suite.name, created=clock()))
    made = [create(purpose, 1, database_id, kmses) for purpose in Purpose]
    realm = Realm(suite, Keyring.unwrap(made, database_id, kmses, lease), clock, token_keys, formats.of(suite))
    ledger.begin(db, realm.keyring)
    for each in made:
        deks.add(db, realm, each)
    c2keys.first(db, realm)
    restored.begin(db, realm)
    _begin_log(db, realm, FIRST_START)
    return realm


def _begin_log(db: sa.Connection, realm: Realm, action: str) -> None:
    chain.begin(db, realm)
    checkpoints.make_key(db, realm)
    chain.append(db, realm, Act(action))
