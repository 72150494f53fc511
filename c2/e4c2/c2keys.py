# SPDX-License-Identifier: Apache-2.0
"""The C2's own key pair in public-key suites: stored, wrapped, before anyone hears of it, and changed in overlap.

A device is reached under the version it is known to hold and under every newer one, so that no moment of a change strands it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import commands
from e4c2.commands import Operation
from e4c2.model import C2KeyState, Kind, Status, c2_key, client
from e4c2.rows import Realm, Row, find, find_all, insert, reveal, update
from e4core.errors import Conflict, InvalidInput, NotFound, Tampered, UnsupportedSuite
from e4core.suite import PrivateKey

NO_VERSION = 0
"""What symmetric suites have in place of a version."""


@dataclass(frozen=True, slots=True)
class C2Key:
    """What may be shown of one version; ``public`` is hexadecimal."""

    version: int
    state: str
    public: str
    created: float


def all_versions(db: sa.Connection, realm: Realm) -> list[C2Key]:
    """All versions, oldest first."""
    rows = sorted(find_all(db, realm, c2_key), key=lambda row: row["version"])
    return [C2Key(row["version"], row["state"], row["public"].hex(), row["created"]) for row in rows]


def active_version(db: sa.Connection, realm: Realm) -> int:
    """The version that new clients are given."""
    if realm.suite.is_symmetric:
        return NO_VERSION
    return int(_in_state(db, realm, C2KeyState.ACTIVE)["version"])


def check_version(db: sa.Connection, realm: Realm, version: int) -> None:
    """Raises: InvalidInput: no version that a device can hold."""
    known = (
        [NO_VERSION]
        if realm.suite.is_symmetric
        else [key.version for key in all_versions(db, realm) if key.state != C2KeyState.RETIRED]
    )
    if version not in known:
        raise InvalidInput(f"there is no version {version} of the C2's key; there are: {', '.join(map(str, known))}")


def first(db: sa.Connection, realm: Realm) -> None:
    """Make the first key pair of a public-key realm, active at once."""
    if not realm.suite.is_symmetric:
        _make(db, realm, 1, C2KeyState.ACTIVE)


def new(db: sa.Connection, realm: Realm) -> Operation:
    """Make a new key pair and send its public key to all active clients.

    Raises: Conflict: a change is under way. UnsupportedSuite: symmetric.
    """
    if realm.suite.is_symmetric:
        raise UnsupportedSuite(f"the suite {realm.suite.name} has no C2 key")
    keys = all_versions(db, realm)
    if any(key.state == C2KeyState.PENDING for key in keys):
        raise Conflict("a change of the C2 key is under way; finish it first")
    version = keys[-1].version + 1
    _make(db, realm, version, C2KeyState.PENDING)
    operation = commands.begin(db, realm, "new_c2_key", str(version))
    everyone = db.scalars(sa.select(client.c.id).where(client.c.status == Status.ACTIVE.value))
    commands.enqueue(db, realm, operation, list(everyone), Kind.C2_KEY)
    return commands.count(db, operation)


def finish(db: sa.Connection, realm: Realm, force: bool = False) -> C2Key:
    """Make the pending version the active one, once all active clients are known to hold it.

    Args: force: do so with laggards left; they stay reachable under the old version.
    Raises: NotFound: no change is under way. Conflict: there are laggards.
    """
    pending, active = _in_state(db, realm, C2KeyState.PENDING), _in_state(db, realm, C2KeyState.ACTIVE)
    behind = [client.c.status == Status.ACTIVE.value, client.c.c2_key < pending["version"]]
    laggards = db.scalar(sa.select(sa.func.count()).select_from(client).where(*behind)) or 0
    if laggards and not force:
        raise Conflict(f"{laggards} clients have not confirmed the new C2 key; wait, or force it: they stay reachable")
    update(db, realm, c2_key, active, state=C2KeyState.RETIRED.value)
    row = update(db, realm, c2_key, pending, state=C2KeyState.ACTIVE.value)
    return C2Key(row["version"], row["state"], row["public"].hex(), row["created"])


@dataclass(frozen=True, slots=True)
class Versions:
    """All that is needed to reach devices: private keys by version, oldest first, retired ones too, for laggards."""

    privates: Mapping[int, PrivateKey]
    newest_public: bytes

    def private(self, version: int) -> PrivateKey:
        """Raises: Tampered."""
        if version not in self.privates:
            raise Tampered(f"version {version} of the C2's key is gone from the database; restore it from a backup")
        return self.privates[version]


def versions(db: sa.Connection, realm: Realm) -> Versions:
    """Raises: Tampered."""
    if realm.suite.is_symmetric:
        return Versions({NO_VERSION: realm.suite.c2.load(b"")}, b"")
    rows = sorted(find_all(db, realm, c2_key), key=lambda row: int(row["version"]))
    if not rows:
        raise Tampered("the C2's key is gone from the database; restore it from a backup")
    return Versions(
        privates={row["version"]: realm.suite.c2.load(reveal(realm, c2_key, row, "private")) for row in rows},
        newest_public=bytes(rows[-1]["public"]),
    )


def _make(db: sa.Connection, realm: Realm, version: int, state: C2KeyState) -> None:
    private = realm.suite.c2.generate()
    public = realm.suite.c2.public(realm.suite.c2.load(private))
    insert(db, realm, c2_key, version=version, state=state.value, private=private, public=public, created=realm.clock())


def _in_state(db: sa.Connection, realm: Realm, state: C2KeyState) -> Row:
    row = find(db, realm, c2_key, c2_key.c.state == state.value)
    if row is None:
        raise NotFound(f"there is no {state} C2 key")
    return row
