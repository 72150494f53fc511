# SPDX-License-Identifier: Apache-2.0
"""Sequences: the numbers of the commands to one device, which never go back (`format2.md` section 3).

Each is a microsecond of the clock at least, so that a C2 restored from a backup repeats none of those that it has forgotten.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from e4c2.model import command_sequence
from e4c2.rows import Realm, Row, delete, find_by, find_ids, insert_all, update, update_all

PER_SECOND = 1_000_000


def held(db: sa.Connection, realm: Realm, clients: Collection[bytes]) -> dict[bytes, Row]:
    """Client -> its row, of those for which something was ever sealed. Raises: Tampered."""
    rows = find_ids(db, realm, command_sequence, command_sequence.c.client, clients) if clients else []
    return {row["client"]: row for row in rows}


def take(db: sa.Connection, realm: Realm, rows: Mapping[bytes, Row], clients: Collection[bytes]) -> dict[bytes, int]:
    """Client -> sequence of its next command, taken for good. Args: rows: those that are `held`."""
    floor = int(realm.clock() * PER_SECOND)
    taken = {identity: max(rows[identity]["last"] + 1, floor) if identity in rows else floor for identity in clients}
    known = [(rows[identity], {"last": number}) for identity, number in taken.items() if identity in rows]
    update_all(db, realm, command_sequence, known)
    new = [{"client": each, "last": number, "confirmed": 0} for each, number in taken.items() if each not in rows]
    insert_all(db, realm, command_sequence, new)
    return taken


def of(db: sa.Connection, realm: Realm, client: bytes) -> Row | None:
    """``last`` sealed and last ``confirmed`` of a client; None: nothing was ever sealed for it. Raises: Tampered."""
    return find_by(db, realm, command_sequence, command_sequence.c.client, client)


def confirm(db: sa.Connection, realm: Realm, row: Row, sequence: int) -> None:
    """The device has answered the command ``sequence``."""
    if sequence > row["confirmed"]:
        update(db, realm, command_sequence, row, confirmed=sequence)


def confirm_all(db: sa.Connection, realm: Realm, answered: Collection[tuple[Row, int]]) -> None:
    """Devices have answered these commands of theirs."""
    newer = [(row, {"confirmed": number}) for row, number in answered if number > row["confirmed"]]
    update_all(db, realm, command_sequence, newer)


def go_on_after(db: sa.Connection, realm: Realm, client: bytes, sequence: int) -> None:
    """The device knows a sequence that this C2 has forgotten."""
    row = of(db, realm, client)
    if row is None:
        insert_all(db, realm, command_sequence, [{"client": client, "last": sequence, "confirmed": 0}])
    else:
        update(db, realm, command_sequence, row, last=sequence)


def begin_anew(db: sa.Connection, realm: Realm, client: bytes) -> None:
    """Another device takes the place of the one that has answered so far."""
    row = of(db, realm, client)
    if row is not None and row["confirmed"]:
        update(db, realm, command_sequence, row, confirmed=0)


def forget(db: sa.Connection, realm: Realm, clients: Collection[bytes]) -> None:
    """These clients are removed."""
    delete(db, realm, command_sequence, *find_ids(db, realm, command_sequence, command_sequence.c.client, clients))
