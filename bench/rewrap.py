# SPDX-License-Identifier: Apache-2.0
"""100,000 rows put under a new key on SQLite, as the C2 does it after a rotation: checked, resealed, MACed, counted in the ledger.

Floor: ``sqlite3`` and the bare HMACs and AEAD of a record open, seal and update as many rows of the same table, in as many
transactions.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from timing import Figures, best

from e4c2.locksmith import Locksmith
from e4c2.model import topic
from e4c2.resealing import BATCH, behind
from e4c2.rows import Realm, insert_all
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.plugins import load_kms, load_suite
from e4kms import file as file_kms
from e4kms.deks import Purpose
from e4kms.keyring import UNLIMITED

ROWS = 100_000
ROUNDS = 3
BOUND_LEN = 110
"""Bytes of associated data, as of a record of this table."""
LABEL, LENGTH, NONCE = bytes(18), bytes(4), bytes(12)
"""As long as those of a record."""


def figures() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        return {f"rewrap.{ROWS // 1000}k": asyncio.run(_compare(Path(folder)))}


async def _compare(folder: Path) -> dict[str, float]:
    kek = folder / "kek.json"
    file_kms.create(kek)
    uri = f"file://{kek}"
    kmses = {uri: load_kms(uri)}
    store = Store(folder / "c2.sqlite")
    realm = store.run(open_realm, load_suite("sk"), kmses, time.time)
    await store.write(_fill, realm)
    floor = _Floor(folder / "floor.sqlite")
    database_id = await store.read(lambda db: db.execute(sa.text("SELECT database_id FROM realm")).scalar_one())
    smith = Locksmith(store, realm, database_id, kmses, UNLIMITED)
    pairs = []
    for version in range(1, ROUNDS + 1):
        await smith.rotate(Purpose.RECORDS, version)
        begun = time.perf_counter()
        await smith._reseal_all()
        pairs.append((time.perf_counter() - begun, floor.seconds()))
        assert not (await store.read(behind, realm))[Purpose.RECORDS]
    store.close()
    return best(pairs)


def _fill(db: sa.Connection, realm: Realm) -> None:
    rows = (
        {"id": os.urandom(16), "name": f"building/{number}", "key": os.urandom(32), "created": 0.0, "rotated": 0.0}
        for number in range(ROWS)
    )
    insert_all(db, realm, topic, rows)


class _Floor:
    """A table of the same shape, and a key each for what is and what is to be."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "PRAGMA secure_delete=ON",
            "CREATE TABLE topic (id BLOB PRIMARY KEY, name TEXT UNIQUE, key BLOB, generation INTEGER, mac BLOB,"
            " created REAL, rotated REAL)",
            "BEGIN",
        ):
            self._db.execute(statement)
        self._key = _keyed()
        rows = (
            (os.urandom(16), f"building/{n}", self._sealed(os.urandom(32)), 1, bytes(36), 0.0, 0.0) for n in range(ROWS)
        )
        self._db.executemany("INSERT INTO topic VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def seconds(self) -> float:
        begun = time.perf_counter()
        last = b""
        old, new, salts, bound = self._key, _keyed(), _keyed(), bytes(BOUND_LEN)
        while rows := self._db.execute(
            "SELECT id, key FROM topic WHERE id > ? ORDER BY id LIMIT ?", (last, BATCH)
        ).fetchall():
            changed = []
            for identity, record in rows:
                state = old.copy()
                state.update(LABEL + record[7:31] + LENGTH)
                opened = AESGCM(state.finalize()).decrypt(NONCE, record[31:], bound)
                state = salts.copy()
                state.update(os.urandom(24) + bound + opened)
                salt = state.finalize()[:24]
                state = new.copy()
                state.update(LABEL + salt + LENGTH)
                sealed = AESGCM(state.finalize()).encrypt(NONCE, opened, bound)
                changed.append((record[:7] + salt + sealed, identity))
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE topic SET key = ? WHERE id = ?", changed)
            self._db.execute("COMMIT")
            last = rows[-1][0]
        self._key = new
        return time.perf_counter() - begun

    def _sealed(self, key: bytes) -> bytes:
        salt, state = os.urandom(24), self._key.copy()
        state.update(LABEL + salt + LENGTH)
        return bytes(7) + salt + AESGCM(state.finalize()).encrypt(NONCE, key, bytes(BOUND_LEN))


def _keyed() -> HMAC:
    return HMAC(os.urandom(32), SHA256())
