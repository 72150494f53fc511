# SPDX-License-Identifier: Apache-2.0
"""A backup made of a database, and a database made of a backup, or only looked at whether it could be."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from e4c2 import approvals, identities, ledger, resealing, tokens
from e4c2.audit import chain
from e4c2.audit.records import Act
from e4c2.enrolment import tokens as enrolments
from e4c2.events import webhooks
from e4c2.model import backup, restoring
from e4c2.recovery import container, dump, restored
from e4c2.recovery.container import Header, New
from e4c2.recovery.dump import Manifest
from e4c2.resealing import Mark
from e4c2.rows import Realm
from e4c2.store.address import Address
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4c2.store.schema import make, newest
from e4c2.token_keys import TokenKeys
from e4core import files
from e4core.errors import Conflict, StorageError
from e4core.kms import Kms
from e4core.suite import Suite

MADE, RESTORED = "backup_made", "database_restored"
"""What the audit log calls it."""
AHEAD_S = 60.0
"""By which a clock may be behind that of the C2 that made a backup."""
_RESTORED = "the database was restored from a backup; see that this is still wanted, then resume it"
_LOOKED = 500


@dataclass(frozen=True, slots=True)
class Backup:
    """A file that was made or read. ``id``: hexadecimal."""

    id: str
    manifest: Manifest
    kmses: tuple[str, ...]
    """URIs of those that open it."""

    @classmethod
    def of(cls, header: Header, manifest: Manifest) -> Backup:
        return cls(header.id.hex(), manifest, tuple(wrap.uri for wrap in header.key.wraps))


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens a database and its backups. ``kmses``: URI -> driver. ``clock``: Unix seconds."""

    suite: Suite
    kmses: Mapping[str, Kms]
    clock: Callable[[], float]
    token_keys: TokenKeys | None = None


def write(db: sa.Connection, realm: Realm, new: New, path: Path) -> Backup:
    """Write all rows as they are in this transaction; memory: some portions of rows. Raises: Tampered. Conflict (``exists``)."""
    ledger.verify(db, realm.keyring)  # what is not right now would be found out only when it is needed
    chain.extent(db, realm)  # nor could `note` tell of a file that is there
    manifest = Manifest.of(db, newest(), realm.clock())
    files.create(path, new.seal(dump.lines(db, manifest)))
    return Backup.of(new.header, manifest)


def note(db: sa.Connection, realm: Realm, made: Backup) -> None:
    """Write down that there is a backup: who looks after this C2 wants to know when the last was made. Raises: Tampered."""
    values = {"id": bytes.fromhex(made.id), "created": made.manifest.created, "row_count": made.manifest.total}
    db.execute(sa.insert(backup).values(values))
    chain.append(db, realm, Act(MADE, objects=(f"backup:{made.id}",)))


def last_made(db: sa.Connection) -> float | None:
    """Unix seconds; None: never."""
    found: float | None = db.scalar(sa.select(sa.func.max(backup.c.created)))
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """A backup whose manifest was read; the rows follow."""

    backup: Backup
    _rows: Iterator[bytes]

    def load(self, db: sa.Connection, keys: Keys) -> Realm:
        """Put all rows into an empty database, and open it. Raises: Tampered. KmsError. Conflict."""
        dump.load(db, self._rows, self.backup.manifest)
        _count_on(db)
        return open_realm(db, keys.suite, keys.kmses, keys.clock, token_keys=keys.token_keys)


@contextmanager
def reading(path: Path, kmses: Mapping[str, Kms]) -> Iterator[Reading]:
    """Raises: StorageError. InvalidInput (``bad_backup``). KmsError. Tampered."""
    with _opened(path) as file:
        header = container.read_header(file)
        rows = dump.split(container.open_(file, header, kmses))
        manifest = Manifest.parse(next(rows, b""))
        yield Reading(Backup.of(header, manifest), rows)


def verify(path: Path, keys: Keys) -> tuple[Backup, int]:
    """Restore into a temporary file, open every record and check every MAC there, and count the rows that were looked at."""
    with reading(path, keys.kmses) as read, tempfile.TemporaryDirectory(prefix="e4-drill-") as folder:
        _require_fitting(read.backup, keys)
        with closing(Store(Path(folder) / "c2.sqlite")) as store:
            realm = store.run(read.load, keys)
            with closing(realm):
                return read.backup, sum(_looked(store, realm))


def restore(path: Path, where: Path | Address, keys: Keys, finish: Callable[[sa.Connection, Realm], object]) -> Backup:
    """Restore into an empty database, all or nothing, and leave it paused and without a token.

    Args: finish: called at the end of the transaction.
    Raises: StorageError. Conflict: it is not empty; the clock is wrong. InvalidInput. KmsError. Tampered.
    """
    with reading(path, keys.kmses) as read:
        _require_fitting(read.backup, keys)
        identity, made = bytes.fromhex(read.backup.id), read.backup.manifest.created
        with closing(Store(where, prepare=make)) as store:

            def begin(db: sa.Connection) -> None:
                _require_empty(db)
                db.execute(sa.delete(restoring))
                db.execute(sa.insert(restoring).values(id=1, backup=identity, begun=keys.clock()))

            def load(db: sa.Connection) -> None:
                _require_empty(db)
                with closing(read.load(db, keys)) as realm:
                    tokens.revoke_all(db, realm)
                    identities.remove_all(db, realm)
                    approvals.revoke_all(db, realm)
                    enrolments.revoke_all(db, realm)
                    webhooks.pause_all(db, realm, _RESTORED)
                    chain.append(db, realm, Act(RESTORED, objects=(f"backup:{read.backup.id}",)))
                    restored.put(db, realm, identity, made)
                    finish(db, realm)
                db.execute(sa.delete(restoring))

            store.run(begin)
            store.run(load)
        return read.backup


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def _require_fitting(of: Backup, keys: Keys) -> None:
    manifest = of.manifest
    if manifest.schema != newest():
        raise Conflict(
            f"this backup was made by release {manifest.release} (schema {manifest.schema}); restore it with that one,"
            " then start this one"
        )
    if manifest.suite != keys.suite.name:
        raise Conflict(f"this backup is of the suite {manifest.suite}, not {keys.suite.name}; name it in the settings")
    if keys.clock() + AHEAD_S < manifest.created:
        # numbers that devices have seen would come again
        raise Conflict("the clock of this machine is behind that of the backup; set it right first", kind="bad_clock")


def _require_empty(db: sa.Connection) -> None:
    for table in dump.TABLES:
        if db.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
            raise Conflict("this database is not empty; restore into a new one", kind="not_empty")


def _count_on(db: sa.Connection) -> None:
    """PostgreSQL counts on from where it was, not from the greatest number that it is told."""
    if db.dialect.name != "postgresql":
        return
    for table in dump.TABLES:
        column = table.autoincrement_column
        if column is not None:
            counter = sa.func.pg_get_serial_sequence(table.name, column.name)
            db.execute(sa.select(sa.func.setval(counter, sa.select(sa.func.max(column)).scalar_subquery())))


def _looked(store: Store, realm: Realm) -> Iterator[int]:
    mark: Mark | None = None
    while True:
        found = store.run(resealing.look, realm, mark, _LOOKED)
        yield found.checked
        if found.after is None:
            return
        mark = found.after
