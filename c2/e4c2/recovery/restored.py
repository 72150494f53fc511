# SPDX-License-Identifier: Apache-2.0
"""The pause of a C2 that was restored (`design.md` section 5, rule 10): nothing is sealed and no report is taken until it is over.

It is a row like any that grants something, which is always there: without it nothing is sent either.
"""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from e4c2.clocks import BACKDATE_S
from e4c2.model import recovery
from e4c2.rows import Realm, Row, find, insert, update
from e4core.errors import Denied, Tampered

PAUSED = "paused"
"""Kind of the error about what is not done while this lasts."""
SETTLES_S = BACKDATE_S + 1
"""After a restore: what the lost C2 sealed in its last second may be dated as late as what this one would seal before that."""
_ID = 1


class State(StrEnum):
    """`PAUSED` until an operator has confirmed what was restored."""

    NORMAL = "normal"
    PAUSED = "paused"


def begin(db: sa.Connection, realm: Realm) -> None:
    """Make the row, if there is none in a database that was found right."""
    if find(db, realm, recovery) is None:
        insert(db, realm, recovery, id=_ID, state=State.NORMAL.value, backup=None, made=None, since=None)


def row(db: sa.Connection, realm: Realm) -> Row:
    """Raises: Tampered."""
    found = find(db, realm, recovery)
    if found is None:
        raise Tampered("the table recovery has lost its row; restore the database from a backup")
    return found


def put(db: sa.Connection, realm: Realm, backup: bytes, made: float) -> None:
    """Pause. Args: backup: from which this database was restored.  made: when that was made, Unix seconds."""
    begin(db, realm)
    now = realm.clock()
    update(db, realm, recovery, row(db, realm), state=State.PAUSED.value, backup=backup, made=made, since=now)


def lift(db: sa.Connection, realm: Realm) -> None:
    """Go on."""
    update(db, realm, recovery, row(db, realm), state=State.NORMAL.value)


def is_paused(db: sa.Connection, realm: Realm) -> bool:
    """Whether nothing may leave; also in the first seconds after a restore. Raises: Tampered."""
    held = row(db, realm)
    settles = held["since"] is not None and realm.clock() < held["since"] + SETTLES_S
    return bool(settles or held["state"] != State.NORMAL)


def refuse(db: sa.Connection, realm: Realm) -> None:
    """Raises: Denied (``paused``). Tampered."""
    if is_paused(db, realm):
        raise Denied("this C2 was restored and is paused; see: e4 recovery show", kind=PAUSED)
