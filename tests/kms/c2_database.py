# SPDX-License-Identifier: Apache-2.0
"""The real database of a C2, opened as a start of it does, and changed as somebody could who has the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from e4backends import sk
from e4c2 import deks as rows
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.kms import Kms
from e4core.plugins import load_kms
from e4kms import deks
from e4kms.breaker import Breaker
from e4kms.deks import Purpose, State

NOW = 1_800_000_000.0
WRAP = ("key_id", "mechanism", "blob")
"""What a KMS made, of a row that says of which DEK it is."""


class Database:
    """Of a C2 that is started anew for each thing that is done with it."""

    def __init__(self, path: Path, *uris: str) -> None:
        self.path, self.uris = path, uris

    @contextmanager
    def opened(self, *uris: str) -> Iterator[tuple[Store, Realm, dict[str, Kms]]]:
        """With these KMSes, or those that it was made with. Raises: whatever keeps a C2 from starting."""
        with ExitStack() as stack:
            kmses = stack.enter_context(connected(*(uris or self.uris)))
            store = stack.enter_context(closing(Store(self.path)))
            realm = start(store, kmses)
            stack.callback(realm.close)
            yield store, realm, kmses

    def start(self, *uris: str) -> frozenset[str]:
        """Returns: the KMSes that were passed over."""
        with self.opened(*uris) as (_, realm, _):
            return realm.keyring.passed_over

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What somebody with access to the database could do."""
        with closing(sqlite3.connect(self.path)) as db, db:
            return db.execute(statement, values).fetchall()

    def wrap(self, purpose: Purpose, version: int = 1) -> tuple[Any, ...]:
        where = "purpose = ? AND version = ? AND slot = 0"
        (found,) = self.sql(f"SELECT {', '.join(WRAP)} FROM dek_wrap WHERE {where}", purpose.value, version)
        return found

    def put(self, wrap: tuple[Any, ...], purpose: Purpose, version: int = 1) -> None:
        change = ", ".join(f"{column} = ?" for column in WRAP)
        where = "purpose = ? AND version = ? AND slot = 0"
        self.sql(f"UPDATE dek_wrap SET {change} WHERE {where}", *wrap, purpose.value, version)

    def rotate(self, purpose: Purpose) -> None:
        with self.opened() as (store, realm, kmses):
            made = deks.create(purpose, 2, self.id, kmses, State.PREPARED)
            store.run(rows.add, realm, made)
            realm.keyring.renew(start(store, kmses).keyring)
            store.run(rows.activate, realm, purpose, 2)

    @property
    def id(self) -> bytes:
        ((found,),) = self.sql("SELECT database_id FROM realm")
        return bytes(found)

    def files(self) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in self.path.parent.iterdir() if p.name.startswith(self.path.name)}


@contextmanager
def connected(*uris: str) -> Iterator[dict[str, Kms]]:
    """Each with a breaker before it, as in a C2."""
    with ExitStack() as stack:
        yield {uri: stack.enter_context(closing(Breaker(uri, load_kms))) for uri in uris}


def start(store: Store, kmses: Mapping[str, Kms]) -> Realm:
    return store.run(open_realm, sk.SUITE, kmses, lambda: NOW)
