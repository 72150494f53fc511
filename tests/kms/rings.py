# SPDX-License-Identifier: Apache-2.0
"""Keyrings for tests: the DEKs of a database, and KMSes that wrap them."""

from __future__ import annotations

from e4core.keys import Secret
from e4core.kms import Kms, Wrapped
from e4kms.deks import Dek, Purpose, create
from e4kms.keyring import Keyring
from e4kms.records import AuthorityRow, Cell
from tests.kms.memory import MemoryKms

DATABASE = bytes(range(16))
OTHER_DATABASE = bytes(range(1, 17))
URI, SPARE = "memory:main", "memory:spare"
CELL = Cell("client", "private", b"row 1")
ROW = AuthorityRow("client", b"row 1", 7, (b"public key", "name", 3, None))


class Stand:
    """A database's DEKs, version 1 of each purpose, and the KMS that wraps them."""

    def __init__(self, kms: Kms | None = None) -> None:
        self.kms = kms or MemoryKms()
        self.deks = {purpose: self.make(purpose) for purpose in Purpose}

    def make(self, purpose: Purpose, version: int = 1, database_id: bytes = DATABASE) -> Dek:
        return create(purpose, version, database_id, {URI: self.kms})

    def unwrap(self, *instead: Dek) -> Keyring:
        """With ``instead`` in place of the DEKs of the same purpose."""
        purposes = {dek.purpose for dek in instead}
        kept = [dek for purpose, dek in self.deks.items() if purpose not in purposes]
        return Keyring.unwrap([*instead, *kept], DATABASE, {URI: self.kms})


class GlassKms:
    """Hides nothing: the wrap is the secret."""

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        return Wrapped("glass", "none", bytes(secret))

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        assert context[:18] == b"\x0e\0\0\0e4 dek wrap v1"
        return Secret(wrapped.blob)

    def check(self) -> None: ...

    def close(self) -> None: ...
