# SPDX-License-Identifier: Apache-2.0
"""What an operator is told of a C2 that was restored, and what happens when its members are confirmed (rule 10)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import commands, rotation
from e4c2.commands import Operation
from e4c2.model import client, link, membership, topic, topic_epoch
from e4c2.recovery import restored
from e4c2.recovery.restored import State
from e4c2.rows import Realm, find_all, update_all
from e4core.errors import Conflict

EPOCHS_AHEAD = 3600
"""So much later than the clock are epochs numbered after a restore: the lost C2 may have numbered some ahead of its own, as it does
when a topic is rotated more often than once a second."""
_UNKNOWN = (
    "devices that were enrolled, suspended, removed or given a new key",
    "members that joined topics or were evicted, and links",
    "topics that were made or removed",
    "tokens, all of which are revoked now, and new keys of the C2 and of the database",
)
_COUNTED = {"clients": client, "topics": topic, "memberships": membership, "links": link}


@dataclass(frozen=True, slots=True)
class Recovery:
    """Of this C2. ``backup``: id of the one that it was restored from, None: it never was. Times: Unix seconds.

    ``clients`` to ``links``: how many there are in the whole fleet; None: not for who does not see all of it.
    """

    state: State
    backup: str | None
    made: float | None
    restored: float | None
    clients: int | None
    topics: int | None
    memberships: int | None
    links: int | None
    unknown: tuple[str, ...]
    """What may have happened between ``made`` and the loss, and is not in this database."""


def show(db: sa.Connection, realm: Realm, counted: bool = True) -> Recovery:
    """Args: counted: whether to tell how many of all there are. Raises: Tampered."""
    row = restored.row(db, realm)
    counts = {name: _count(db, table) if counted else None for name, table in _COUNTED.items()}
    return Recovery(
        state=State(row["state"]),
        backup=None if row["backup"] is None else row["backup"].hex(),
        made=row["made"],
        restored=row["since"],
        unknown=_UNKNOWN if row["state"] == State.PAUSED else (),
        **counts,
    )


def confirm(db: sa.Connection, realm: Realm, backup: str) -> Operation:
    """The members are right: give every topic a new key, and send again. Args: backup: id of the one that was looked at.

    Raises: Conflict: this C2 is not paused, or was restored from another one; the clock is wrong. Tampered.
    """
    row = restored.row(db, realm)
    if row["state"] != State.PAUSED:
        raise Conflict("this C2 is not paused; there is nothing to confirm", kind="not_paused")
    if row["backup"].hex() != backup:
        raise Conflict(f"this C2 was restored from another backup: {row['backup'].hex()}")
    now = realm.clock()
    if now < row["since"]:
        raise Conflict("the clock was set back since the restore; set it right first", kind="bad_clock")
    operation = commands.begin(db, realm, "recover", backup)
    _number_ahead(db, realm, int(now) + EPOCHS_AHEAD)
    rotation.rekey(db, realm, find_all(db, realm, topic), operation)
    restored.lift(db, realm)
    return commands.count(db, operation)


def _count(db: sa.Connection, table: sa.Table) -> int:
    return db.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def _number_ahead(db: sa.Connection, realm: Realm, number: int) -> None:
    """No epoch from now on is ``number`` or less."""
    rows = find_all(db, realm, topic_epoch, topic_epoch.c.last < number)
    update_all(db, realm, topic_epoch, [(row, {"last": number}) for row in rows])
