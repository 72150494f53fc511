# SPDX-License-Identifier: Apache-2.0
"""What a C2 asks of cryptography for its database: made, granted in, opened again, and rotated. Runs on a FIPS provider too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from e4c2 import clients, tokens, topics
from e4c2.c2keys import NO_VERSION
from e4c2.locksmith import Locksmith
from e4c2.resealing import behind
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.kms import Kms
from e4core.suite import Suite
from e4kms.deks import Purpose
from e4kms.keyring import UNLIMITED


def grant(db: sa.Connection, suite: Suite, kmses: Mapping[str, Kms]) -> Realm:
    """A new database, with a row of every kind and a topic key replaced; checked as a whole at its end."""
    realm = open_realm(db, suite, kmses, time.time)
    device = suite.device
    private = device.load(device.generate())
    version = 1 if suite.c2.private_len else NO_VERSION
    clients.create(db, realm, "a", device.public(private), version)
    topics.create(db, realm, "t")
    topics.join(db, realm, "t", ["a"])
    topics.rotate(db, realm, "t")
    tokens.create(db, realm, "admin")
    return open_realm(db, suite, kmses, time.time)


def grant_and_rotate(path: Path, suite: Suite, kmses: Mapping[str, Kms]) -> None:
    """`grant`, in a database at ``path``, and then a new DEK for records and one for MACs, which all rows follow."""
    store = Store(path)
    try:
        realm = store.run(grant, suite, kmses)
        database_id = store.run(lambda db: db.execute(sa.text("SELECT database_id FROM realm")).scalar_one())
        smith = Locksmith(store, realm, database_id, kmses, UNLIMITED)
        asyncio.run(_rotate(smith))
        assert not any(store.run(behind, realm).values())
        store.run(open_realm, suite, kmses, time.time)
    finally:
        store.close()


async def _rotate(smith: Locksmith) -> None:
    for purpose in (Purpose.RECORDS, Purpose.AUTHORITY):
        await smith.rotate(purpose, 1)
        await smith._reseal_all()
