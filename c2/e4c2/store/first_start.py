# SPDX-License-Identifier: Apache-2.0
"""The keys of a database: made at the first start, unwrapped at every later one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from e4c2 import c2keys, ledger
from e4c2.model import dek, dek_wrap
from e4c2.model import realm as realm_table
from e4c2.rows import Realm
from e4core.errors import Conflict
from e4core.kms import Kms, Wrapped
from e4core.suite import Suite
from e4kms import deks as stored
from e4kms.deks import Dek, Purpose, State, Wrap
from e4kms.keyring import Keyring


def open_realm(
    db: sa.Connection, suite: Suite, kms: Mapping[str, Kms], kms_uri: str, clock: Callable[[], float]
) -> Realm:
    """The realm of this database, made first if it is empty.

    Args: kms: URI -> driver.  kms_uri: which of them wraps new keys.
    Raises: Conflict: the database is of another suite. KmsError. Tampered.
    """
    row = db.execute(sa.select(realm_table)).mappings().one_or_none()
    if row is None:
        return _create(db, suite, kms, kms_uri, clock)
    if row["suite"] != suite.name:
        raise Conflict(f"this database is of the suite {row['suite']}, not {suite.name}; one C2 runs one suite")
    realm = Realm(suite, Keyring.unwrap(load_deks(db), row["database_id"], kms), clock)
    ledger.verify(db, realm.keyring)
    return realm


def load_deks(db: sa.Connection) -> list[Dek]:
    """All DEKs as they are stored."""
    wraps: dict[tuple[str, int], list[Wrap]] = {}
    for row in db.execute(sa.select(dek_wrap)).mappings():
        wrap = Wrap(row["slot"], row["uri"], Wrapped(row["key_id"], row["mechanism"], row["blob"]))
        wraps.setdefault((row["purpose"], row["version"]), []).append(wrap)
    return [
        Dek(
            Purpose(row["purpose"]),
            row["version"],
            State(row["state"]),
            row["check_value"],
            tuple(wraps.get((row["purpose"], row["version"]), ())),
        )
        for row in db.execute(sa.select(dek)).mappings()
    ]


def _create(db: sa.Connection, suite: Suite, kms: Mapping[str, Kms], kms_uri: str, clock: Callable[[], float]) -> Realm:
    database_id = os.urandom(16)
    deks = [stored.create(purpose, 1, database_id, {kms_uri: kms[kms_uri]}) for purpose in Purpose]
    for each in deks:
        _store(db, each)
    db.execute(sa.insert(realm_table).values(id=1, database_id=database_id, suite=suite.name, created=clock()))
    realm = Realm(suite, Keyring.unwrap(deks, database_id, kms), clock)
    ledger.begin(db, realm.keyring)
    c2keys.first(db, realm)
    return realm


def _store(db: sa.Connection, made: Dek) -> None:
    db.execute(
        sa.insert(dek).values(
            purpose=made.purpose.value, version=made.version, state=made.state.value, check_value=made.check_value
        )
    )
    for wrap in made.wraps:
        db.execute(
            sa.insert(dek_wrap).values(
                purpose=made.purpose.value,
                version=made.version,
                slot=wrap.slot,
                uri=wrap.uri,
                key_id=wrap.wrapped.key_id,
                mechanism=wrap.wrapped.mechanism,
                blob=wrap.wrapped.blob,
            )
        )
