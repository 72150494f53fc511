# SPDX-License-Identifier: Apache-2.0
"""What no single row can tell: that all granting rows of a table are there, each in its newest generation.

For each table one sealed sum: the exclusive or of a keyed hash of every row's MAC. Each change of a row changes the sum in the
same transaction; `verify` adds up the table anew. So a row that was put back to an older state, with the MAC of that time, or that
was deleted behind the C2's back, is found. The sum is sealed, as who knows many sums and MACs could solve for a set that fits.

Cost: a change reads and writes one more row; `verify` grows with the number of rows (some microseconds each).
"""

from __future__ import annotations

import sqlalchemy as sa

from e4c2.model import GRANTING, ledger, metadata
from e4core.errors import Tampered
from e4kms.keyring import Keyring
from e4kms.records import Cell

_NOTHING = bytes(32)
_DOMAIN = b"e4 ledger v1"


def shift(db: sa.Connection, keyring: Keyring, table: sa.Table, *macs: bytes) -> None:
    """Take rows in that were not in the sum, and out that were; ``macs``: theirs."""
    held = db.scalar(sa.select(ledger.c.sum).where(ledger.c.name == table.name))
    total = _sum(keyring, macs, _NOTHING if held is None else keyring.open(_cell(table), held))
    sealed = keyring.seal(_cell(table), total)
    if held is None:
        db.execute(sa.insert(ledger).values(name=table.name, sum=sealed))
    else:
        db.execute(sa.update(ledger).where(ledger.c.name == table.name).values(sum=sealed))


def verify(db: sa.Connection, keyring: Keyring) -> None:
    """Add up all granting tables. Raises: Tampered: rows are missing, were added, or are not in their newest generation."""
    for name in GRANTING:
        table = metadata.tables[name]
        held = db.scalar(sa.select(ledger.c.sum).where(ledger.c.name == name))
        total = _sum(keyring, db.scalars(sa.select(table.c.mac)), _NOTHING)
        if total != (_NOTHING if held is None else keyring.open(_cell(table), held)):
            raise Tampered(
                f"rows of the table {name} were removed, added or put back to an older state behind the C2's back;"
                " restore the database from a backup"
            )


def _sum(keyring: Keyring, macs: sa.ScalarResult[bytes] | tuple[bytes, ...], start: bytes) -> bytes:
    total = int.from_bytes(start, "little")
    for mac in macs:
        total ^= int.from_bytes(keyring.lookup(_DOMAIN + mac), "little")
    return total.to_bytes(len(_NOTHING), "little")


def _cell(table: sa.Table) -> Cell:
    return Cell(ledger.name, "sum", table.name.encode())
