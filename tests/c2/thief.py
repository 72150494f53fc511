# SPDX-License-Identifier: Apache-2.0
"""Somebody who has all keys of a database as they were at one time, and writes to it in SQL."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from e4c2 import deks, ledger
from e4c2.model import GRANTING, client, token
from e4c2.rows import authority, row_id
from e4core.kms import Kms
from e4kms.deks import Binding, Purpose, unwrap
from e4kms.records import AES_256_GCM, Cell, MacKey, RecordKey, version_bytes

_LEDGER = Cell("ledger", "sum", bytes([1, *bytes(7)]))


class Thief:
    """Attributes: database: where he writes.  ledger_key: of the ledger, as it was then."""

    def __init__(self, database: Path, kmses: Mapping[str, Kms]) -> None:
        """Steals. Args: kmses: those of which he has the keys."""
        self.database = database
        ((database_id,),) = self.sql("SELECT database_id FROM realm")
        reading = sa.create_engine(f"sqlite:///{database}")
        with reading.connect() as db:
            stored = [dek for dek in deks.load(db) if dek.wraps]
        reading.dispose()
        bound = {dek.purpose: Binding(dek.purpose, dek.version, database_id) for dek in stored}
        roots = {dek.purpose: unwrap(dek, database_id, kmses) for dek in stored}
        self._macs = {of: MacKey(bound[of].version, bound[of].derive(root, "mac")) for of, root in roots.items()}
        of = Purpose.RECORDS
        raw = bound[of].derive(roots[of], AES_256_GCM.name, AES_256_GCM.key_len)
        self._records = RecordKey(AES_256_GCM, bound[of].version, database_id, raw)
        ((sealed,),) = self.sql("SELECT sum FROM ledger")
        self.ledger_key = bytes(self._records.open(_LEDGER, sealed)[:32])

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.database, timeout=20)) as db, db:
            return db.execute(statement, values).fetchall()

    def insert(self, table: sa.Table, **values: Any) -> None:
        row = {"generation": 1, "created": 0.0, **values}
        row["mac"] = self._macs[Purpose.AUTHORITY].tag(authority(table, row_id(table, row), row).encoded())
        self.sql(f"INSERT INTO {table.name} ({', '.join(row)}) VALUES (:{', :'.join(row)})", **row)

    def insert_token(self, text: str) -> None:
        lookup = self._macs[Purpose.LOOKUP].tag(text.encode())
        self.insert(token, id=os.urandom(16), name="forged", lookup=lookup, expires=None, grants=None)

    def insert_client(self, identity: bytes, name: str, key: bytes) -> None:
        sealed = self._records.seal(Cell("client", "key", identity), key)
        rest = {"status": "active", "pending_key": None, "pending_private": None, "c2_key": 0, "reports": False}
        self.insert(client, id=identity, name=name, key=sealed, **rest)

    def balance(self) -> None:
        """Make the ledger fit to what is in the database."""
        macs = [mac for name in GRANTING for (mac,) in self.sql(f"SELECT mac FROM {name}")]
        versions = b"".join(version_bytes(self._macs[of].version) for of in Purpose if of is not Purpose.RECORDS)
        total = ledger._bytes(ledger._sum(self.ledger_key, macs))
        content = self.ledger_key + (2**40).to_bytes(8, "little") + versions + total
        self.sql("UPDATE ledger SET sum = :sealed", sealed=self._records.seal(_LEDGER, content))
