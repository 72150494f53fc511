# SPDX-License-Identifier: Apache-2.0
"""Backups without the API, from the settings of a C2: for who may read its KEK and its database."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import sqlalchemy as sa

from e4backends.modules import Modules
from e4c2 import app, approved
from e4c2.app import Clock
from e4c2.recovery import backups, container
from e4c2.recovery.backups import Backup, Keys
from e4c2.rows import Realm
from e4c2.settings import Settings
from e4c2.store import schema
from e4c2.store.address import Address
from e4c2.store.engine import Store
from e4c2.store.first_start import is_new, open_realm
from e4c2.telemetry.instruments import Instruments
from e4c2.telemetry.metrics import Metrics
from e4c2.token_keys import TokenKeys
from e4core import files
from e4core.errors import Conflict, NotFound
from e4core.keys import Secret
from e4core.plugins import load_suite


async def create(settings: Settings, path: Path, clock: Clock = time.time) -> Backup:
    """Make a backup of the database, also while a C2 is at work on it.

    Raises: NotFound: there is no database. StorageError. Conflict (``exists``). KmsError. Tampered. PluginError. InvalidInput.
    """
    _require_new(path)
    async with _keys(settings, clock) as keys, AsyncExitStack() as stack:
        new = container.New.make(keys.kmses)
        store = stack.enter_context(closing(existing(settings.place)))
        realm = stack.enter_context(closing(await store.write(_open, keys)))
        made = await store.read(backups.write, realm, new, path)
        await store.write(backups.note, realm, made)
        return made


async def show(settings: Settings, path: Path) -> Backup:
    """What a backup is of. Raises: StorageError. InvalidInput (``bad_backup``). KmsError. Tampered."""
    async with _keys(settings, time.time) as keys:
        with backups.reading(path, keys.kmses) as read:
            return read.backup


async def verify(settings: Settings, path: Path, clock: Clock = time.time) -> tuple[Backup, int]:
    """Prove that a backup can be restored, and count the rows that were looked at. Raises: as `restore`."""
    async with _keys(settings, clock) as keys:
        return backups.verify(path, keys)


async def restore(
    settings: Settings, path: Path, place: Path | Address | None, clock: Clock = time.time
) -> tuple[Backup, Secret]:
    """Make the database of a backup; the text of its only token, which is in the file of the first too.

    Args: place: of the database, else that of the settings.
    Raises: Conflict: a C2 is at work there; it is not empty; the clock is wrong. StorageError. InvalidInput. KmsError. Tampered.
    """
    where = settings.place if place is None else place
    texts: list[Secret] = []

    def finish(db: sa.Connection, realm: Realm) -> None:
        texts.append(app.admin_token(db, realm, settings.admin_token_file)[1])

    async with _keys(settings, clock) as keys, AsyncExitStack() as stack:
        files.make_folder(settings.data)
        if isinstance(where, Path):
            lock = app.lock_of(where)
            stack.callback(files.Lock.take(lock, f"a C2 holds {lock}; stop it first").release)
        made = backups.restore(path, where, keys, finish)
    return made, texts[-1]


def _require_new(path: Path) -> None:
    """Before all the work: that it does not replace a file is seen to when it is written."""
    if path.exists():
        raise Conflict(f"{path} exists already and is not overwritten; choose another name", kind="exists")


@asynccontextmanager
async def opened(settings: Settings, clock: Clock = time.time) -> AsyncIterator[tuple[Store, Realm]]:
    """The database and its keys, also while a C2 is at work on it. Raises: as `create`."""
    async with _keys(settings, clock) as keys, AsyncExitStack() as stack:
        store = stack.enter_context(closing(existing(settings.place)))
        yield store, stack.enter_context(closing(await store.write(_open, keys)))


def existing(place: Path | Address) -> Store:
    """The database, as it is. Raises: NotFound: there is none. StorageError."""
    if isinstance(place, Path) and not place.exists():
        raise NotFound(f"there is no database {place}; are these the settings of the C2?")
    return Store(place, prepare=schema.require)


@asynccontextmanager
async def _keys(settings: Settings, clock: Callable[[], float]) -> AsyncIterator[Keys]:
    suite = load_suite(settings.suite)
    if settings.require_fips:
        approved.require(suite, settings.kms, settings.c2_key, Modules.of_this_process())
    async with AsyncExitStack() as stack:
        token_keys = TokenKeys(settings.c2_key, suite) if settings.c2_key else None
        if token_keys:
            stack.callback(token_keys.close)
        yield Keys(suite, app.open_kmses(stack, settings, Instruments(Metrics(app.RELEASE))), clock, token_keys)


def _open(db: sa.Connection, keys: Keys) -> Realm:
    if is_new(db):
        raise NotFound("this database is empty; are these the settings of the C2?")
    return open_realm(db, keys.suite, keys.kmses, keys.clock, token_keys=keys.token_keys)
