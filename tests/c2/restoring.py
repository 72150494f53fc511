# SPDX-License-Identifier: Apache-2.0
"""A world that is backed up, lost, and restored."""

from __future__ import annotations

import asyncio
from pathlib import Path

import sqlalchemy as sa

from e4c2.model import metadata
from e4c2.recovery import backups
from e4c2.recovery.backups import Backup, Keys
from e4c2.recovery.container import New
from e4c2.rows import Realm
from e4c2.store.address import Address
from e4kms import file as kek_file
from tests.c2.world import World

FIXED = frozenset(
    {"audit_head", "audit_record", "recovery", "token", "ledger", "backup", "restoring", "ledger_change", "idempotency"}
)
"""Tables that a restore changes, or that a backup leaves out."""


def keys_of(world: World) -> Keys:
    uri = world._kek_uri
    return Keys(world.suite, {uri: kek_file.open_kms(uri)}, world.clock)


def back_up(world: World, path: Path) -> Backup:
    new = New.make(keys_of(world).kmses)
    made: Backup = asyncio.run(world.store.read(backups.write, world.realm, new, path))
    world.store.run(backups.note, world.realm, made)
    return made


def restore(world: World, path: Path, where: Path | Address) -> Backup:
    """Make the database; the world goes on with that, if it is a file."""

    def finish(_db: sa.Connection, _realm: Realm) -> None: ...

    made = backups.restore(path, where, keys_of(world), finish)
    if isinstance(where, Path):
        world.store.close()
        world.place = where
        world.open()
    return made


def contents(db: sa.Connection) -> dict[str, list[tuple[object, ...]]]:
    """All rows that a restore leaves as they were."""
    tables = [table for table in metadata.sorted_tables if table.name not in FIXED]
    return {table.name: sorted((tuple(row) for row in db.execute(sa.select(table))), key=repr) for table in tables}
