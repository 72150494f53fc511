# SPDX-License-Identifier: Apache-2.0
"""A C2 whose own key is in a token, and that is killed while it makes one; run by `test_c2_key_crash`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import sqlalchemy as sa

from e4c2 import c2keys
from e4c2.model import Reason
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4c2.token_keys import PairNeeded, TokenKeys
from e4core.keys import Secret
from e4core.kms import Wrapped
from e4core.plugins import load_suite
from e4kms import file as kek_file
from e4kms.keyring import UNLIMITED

PK = load_suite("pk")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


class Deadly(kek_file.FileKms):
    """The first thing that a C2 asks for at its first start, long before it makes a pair."""

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        die()


class C2:
    def __init__(self, database: str, kek: str, c2_key: str) -> None:
        self.store, self.kek, self.keys = Store(Path(database)), kek, TokenKeys(c2_key, PK)

    def open(self, db: sa.Connection, deadly: bool = False) -> Realm:
        kms = Deadly(kek_file.path_of(self.kek)) if deadly else kek_file.open_kms(self.kek)
        return open_realm(db, PK, {self.kek: kms}, time.time, UNLIMITED, self.keys)

    def start_without_pair(self) -> None:
        self.store.run(self.open, deadly=True)

    def start_uncommitted(self) -> None:
        self.store.run(lambda db: (self.open(db), die()))

    def start(self) -> None:
        self.store.run(self.open)

    def change_without_pair(self) -> None:
        realm = self.store.run(self.open)
        try:
            self.store.run(c2keys.new, realm, Reason.ROUTINE)
        except PairNeeded:
            die()

    def change_with_pair(self) -> None:
        realm = self.store.run(self.open)
        try:
            self.store.run(c2keys.new, realm, Reason.ROUTINE)
        except PairNeeded as needed:
            needed.make()
            die()

    def change_uncommitted(self) -> None:
        realm = self.store.run(self.open)
        pair = PairNeeded(self.keys, 1).make()
        self.store.run(lambda db: (c2keys.new(db, realm, Reason.ROUTINE, pair), die()))

    def change(self) -> None:
        realm = self.store.run(self.open)
        self.store.run(c2keys.new, realm, Reason.ROUTINE, PairNeeded(self.keys, 1).make())


WAYS: dict[str, Callable[[C2], None]] = {
    "first start, before the pair": C2.start_without_pair,
    "first start, before the commit": C2.start_uncommitted,
    "first start, after the commit": C2.start,
    "change, before the pair": C2.change_without_pair,
    "change, before its transaction": C2.change_with_pair,
    "change, before the commit": C2.change_uncommitted,
    "change, after the commit": C2.change,
}


def main() -> None:
    way, *where = sys.argv[1:]
    WAYS[way](C2(*where))
    die()
