# SPDX-License-Identifier: Apache-2.0
"""What no single row can tell: that all granting rows are there, each in its newest generation.

One sum for the whole database, modulo 2**256: of HMAC-SHA256 of every row's MAC. Each change of a row changes the sum in the same
transaction; `verify` adds it all up anew, at start and every hour. So a row that was put back to an older state, with the MAC of
that time, or that was deleted behind the C2's back, is found, unless everything that was granted or revoked since is put back with
it. (An exclusive or would forget pairs: what was put back, and taken out twice, could be put back again.) The key of that HMAC is
random, and sealed together with the sum: who knew it could solve for a set of rows that fits.

Cost: a change, of however many rows, reads and writes one more; `verify` grows with the number of rows (some microseconds each).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Collection, Iterable, Iterator

import sqlalchemy as sa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from e4c2.model import GRANTING, ledger, metadata
from e4core.errors import Tampered
from e4kms.keyring import Keyring
from e4kms.records import Cell

_LEN = 32
_ID = 1
_CELL = Cell(ledger.name, "sum", _ID.to_bytes(8, "little"))


def begin(db: sa.Connection, keyring: Keyring) -> None:
    """The sum of an empty database, made with it and never again."""
    db.execute(sa.insert(ledger).values(id=_ID, sum=keyring.seal(_CELL, os.urandom(_LEN) + bytes(_LEN))))


def shift(
    db: sa.Connection, keyring: Keyring, *, added: Collection[bytes] = (), removed: Collection[bytes] = ()
) -> None:
    """Take rows into the sum, and out of it, by their MACs."""
    if not added and not removed:
        return
    key, total = _held(db, keyring)
    sealed = keyring.seal(_CELL, key + _bytes(total + _sum(key, added) - _sum(key, removed)))
    db.execute(sa.update(ledger).where(ledger.c.id == _ID).values(sum=sealed))


def verify(db: sa.Connection, keyring: Keyring) -> None:
    """Add up all granting tables. Raises: Tampered: rows are missing, were added, or are not in their newest generation."""
    key, held = _held(db, keyring)
    if db.scalar(sa.select(sa.func.count()).select_from(ledger)) != 1:
        raise Tampered("the table ledger has a row too many; restore the database from a backup")
    total = sum(_sum(key, _macs(db, metadata.tables[name])) for name in GRANTING)
    if not hmac.compare_digest(_bytes(total), _bytes(held)):
        raise Tampered(
            "rows that grant something were removed, added or put back to an older state behind the C2's back;"
            " restore the database from a backup"
        )


def require(db: sa.Connection, keyring: Keyring) -> None:
    """Raises: Tampered: there is no sum to change, so nothing that grants something can be changed."""
    _held(db, keyring)


def _held(db: sa.Connection, keyring: Keyring) -> tuple[bytes, int]:
    """Key and sum."""
    held = db.scalar(sa.select(ledger.c.sum).where(ledger.c.id == _ID))
    if held is None:
        raise Tampered("the ledger is gone from the database; restore it from a backup")
    if not isinstance(held, bytes):
        raise Tampered("the ledger holds what is never written there; restore the database from a backup")
    content = keyring.open(_CELL, held)
    return bytes(content[:_LEN]), int.from_bytes(content[_LEN:], "little")


def _macs(db: sa.Connection, table: sa.Table) -> Iterator[bytes]:
    for mac in db.scalars(sa.select(table.c.mac)):
        if not isinstance(mac, bytes):
            raise Tampered(f"a MAC in {table.name} is not one; restore the database from a backup")
        yield mac


def _sum(key: bytes, macs: Iterable[bytes]) -> int:
    keyed = HMAC(key, SHA256())
    return sum(int.from_bytes(_term(keyed, mac), "little") for mac in macs)


def _term(keyed: HMAC, mac: bytes) -> bytes:
    state = keyed.copy()  # less than half of what keying anew costs
    state.update(mac)
    return state.finalize()


def _bytes(total: int) -> bytes:
    return (total % (1 << 8 * _LEN)).to_bytes(_LEN, "little")
