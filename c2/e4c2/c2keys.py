# SPDX-License-Identifier: Apache-2.0
"""The C2's own key pair in public-key suites: stored, wrapped, before anyone hears of it, and changed in overlap.

A device is reached under the version it is known to hold and under every newer one, so that no moment of a change strands it.
Not so once a version is compromised: then nothing is sealed under it, nothing that opens under it is believed, and whoever may hold
it is suspended (``docs/adr/0006-compromised-c2-key.md``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from e4c2 import commands, events, rotation
from e4c2.commands import Operation
from e4c2.model import C2KeyState, Delivery, Kind, Reason, Status, c2_key, client, outbox, topic
from e4c2.rows import Realm, Row, find_all, find_by, insert, reveal, update, update_all
from e4c2.token_keys import IN_TOKEN, Pair, PairNeeded
from e4core.errors import Conflict, InvalidInput, KmsError, NotFound, Tampered, UnsupportedSuite
from e4core.suite import PrivateKey

NO_VERSION = 0
"""What symmetric suites have in place of a version."""
_GIVEN = (C2KeyState.PENDING, C2KeyState.ACTIVE)
"""What devices are given; the others are of the past."""


@dataclass(frozen=True, slots=True)
class C2Key:
    """What may be shown of one version; ``public`` is hexadecimal; ``in_token``: its private key is there, not in the database."""

    version: int
    state: C2KeyState
    public: str
    created: float
    in_token: bool


def all_versions(db: sa.Connection, realm: Realm) -> list[C2Key]:
    """All versions, oldest first."""
    return [_view(realm, row) for row in _rows(db, realm)]


def active_version(db: sa.Connection, realm: Realm) -> int:
    """The version that new clients are given."""
    if realm.suite.is_symmetric:
        return NO_VERSION
    return int(_in_state(db, realm, C2KeyState.ACTIVE)["version"])


def newest(db: sa.Connection, realm: Realm) -> int:
    """The version that all clients are to hold in the end."""
    return _newest(_rows(db, realm))


def check_version(db: sa.Connection, realm: Realm, version: int) -> None:
    """Raises: InvalidInput: there is no such version. Conflict: no device is given it any more."""
    if realm.suite.is_symmetric:
        if version != NO_VERSION:
            raise InvalidInput(f"the suite {realm.suite.name} has no C2 key; its version is {NO_VERSION}")
        return
    states = {row["version"]: row["state"] for row in _rows(db, realm)}
    if version not in states:
        raise InvalidInput(f"there is no version {version} of the C2's key; there are: {', '.join(map(str, states))}")
    if states[version] not in _GIVEN:
        raise Conflict(
            f"version {version} of the C2's key is {states[version]}; give the device the present one, and try again"
        )


def require_public_keys(realm: Realm) -> None:
    """Raises: UnsupportedSuite."""
    if realm.suite.is_symmetric:
        raise UnsupportedSuite(f"the suite {realm.suite.name} has no C2 key")


def first(db: sa.Connection, realm: Realm) -> None:
    """Make the first key pair of a public-key realm, active at once; nobody else is kept waiting by its token yet."""
    if realm.suite.is_symmetric:
        return
    made = realm.token_keys.make(NO_VERSION) if realm.token_keys else _made_here(realm, NO_VERSION)
    _store(db, realm, made, C2KeyState.ACTIVE)


def new(db: sa.Connection, realm: Realm, reason: Reason, made: Pair | None = None) -> Operation:
    """Bring a new key pair into use.

    ``routine``: its public key is sent to all active clients; each stays reachable under the former ones until it is known to hold
    the new one, and `finish` ends the change.
    ``compromised``: who knows the private key of now can pose as the C2 to every device, also to bring it another key, and can read
    what was sent. So all versions of now are given up, one on its way among them; the new one is active at once; every client is
    suspended, and must be enrolled anew with a fresh key of its own and the new one of the C2; every topic is re-keyed.
    Args: made: in the token, for this call; without one `PairNeeded` is raised as soon as nothing else is in its way.
    Raises: Conflict: a routine change is under way, and this is another one. UnsupportedSuite: symmetric. PairNeeded.
    """
    require_public_keys(realm)
    if reason is Reason.ROUTINE:
        _require_none_pending(db, realm)
    last = max((row["version"] for row in _rows(db, realm)), default=NO_VERSION)
    pair = _following(realm, last, made)
    operation = commands.begin(db, realm, f"new_c2_key_{reason}", str(pair.version))
    if reason is Reason.COMPROMISED:
        _give_up(db, realm, operation)
        _store(db, realm, pair, C2KeyState.ACTIVE)
    else:
        _store(db, realm, pair, C2KeyState.PENDING)
        commands.enqueue_everyone(db, realm, operation, Kind.C2_KEY)
    state = C2KeyState.ACTIVE if reason is Reason.COMPROMISED else C2KeyState.PENDING
    kind, of = events.Kind.C2_KEY_CHANGED, operation.hex()
    events.tell(db, realm, kind, version=pair.version, state=state.value, reason=reason.value, operation=of)
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
        raise Conflict(
            f"{laggards} clients have not confirmed the new C2 key; wait, confirm it for them, or force it: they stay reachable"
        )
    update(db, realm, c2_key, active, state=C2KeyState.RETIRED.value)
    now = C2KeyState.ACTIVE.value
    events.tell(db, realm, events.Kind.C2_KEY_CHANGED, version=pending["version"], state=now, laggards=laggards)
    return _view(realm, update(db, realm, c2_key, pending, state=C2KeyState.ACTIVE.value))


def abort(db: sa.Connection, realm: Realm) -> C2Key:
    """Give the pending version up: nobody else is told of it, and the active one stays.

    Who has taken it stays reachable under it, and so does who may have, as under a retired one, until the next change brings all to
    one version: a device that is told to go back could be lost on the way, as an old report of it looks like a fresh one.
    Raises: NotFound: no change is under way; what was finished is changed by another change.
    """
    pending = _in_state(db, realm, C2KeyState.PENDING)
    told = [outbox.c.kind == Kind.C2_KEY.value, outbox.c.state.in_(commands.OPEN)]
    db.execute(sa.update(outbox).where(*told).values(state=Delivery.SUPERSEDED.value))
    now = C2KeyState.ABORTED.value
    events.tell(db, realm, events.Kind.C2_KEY_CHANGED, version=pending["version"], state=now)
    return _view(realm, update(db, realm, c2_key, pending, state=now))


@dataclass(frozen=True, slots=True)
class Versions:
    """All that is needed to reach devices: private keys by version, oldest first, retired ones too, for laggards.

    One that is compromised is not among them.
    """

    privates: Mapping[int, PrivateKey]
    newest: int
    """The version that all clients are to hold in the end."""
    newest_public: bytes

    def private(self, version: int) -> PrivateKey:
        """Raises: Tampered."""
        if version not in self.privates:
            raise Tampered(f"version {version} of the C2's key is gone from the database; restore it from a backup")
        return self.privates[version]


def versions(db: sa.Connection, realm: Realm) -> Versions:
    """Raises: Tampered."""
    if realm.suite.is_symmetric:
        return Versions({NO_VERSION: realm.suite.c2.load(b"")}, NO_VERSION, b"")
    rows = _rows(db, realm)
    if not rows:
        raise Tampered("the C2's key is gone from the database; restore it from a backup")
    usable = [row for row in rows if row["state"] != C2KeyState.COMPROMISED]
    newest = _newest(rows)
    return Versions(
        privates={row["version"]: _private(realm, row) for row in usable},
        newest=newest,
        newest_public=next(bytes(row["public"]) for row in rows if row["version"] == newest),
    )


def verify(db: sa.Connection, realm: Realm) -> None:
    """Prove that every private key belongs to its public one, those in a token above all. Raises: Tampered. KmsError."""
    if realm.suite.is_symmetric:
        return
    privates = versions(db, realm).privates
    for row in find_all(db, realm, c2_key):
        private = privates.get(row["version"])
        if private is not None and realm.suite.c2.public(private) != row["public"]:
            raise Tampered(
                f"version {row['version']} of the C2's key is not the pair that was made; mend the token or its URI"
            )


def _private(realm: Realm, row: Row) -> PrivateKey:
    stored = reveal(realm, c2_key, row, "private")
    if stored != IN_TOKEN:
        return realm.suite.c2.load(stored)
    if realm.token_keys is None:
        raise KmsError(f"version {row['version']} of the C2's key is in a token; name it in the settings: c2_key")
    return PrivateKey(realm.token_keys.open(row["version"]))


def _give_up(db: sa.Connection, realm: Realm, operation: bytes) -> None:
    """Use no version of now any more, not even by mistake: the private keys go. Memberships and links stay on record."""
    gone = {"state": C2KeyState.COMPROMISED.value, "private": b""}
    _update_where(db, realm, c2_key, c2_key.c.state != C2KeyState.COMPROMISED.value, gone)
    suspended = {"status": Status.SUSPENDED.value, "pending_private": None}
    count = _update_where(db, realm, client, client.c.status == Status.ACTIVE.value, suspended)
    events.tell(db, realm, events.Kind.CLIENT_SUSPENDED, count=count, operation=operation.hex())
    db.execute(sa.update(outbox).where(outbox.c.state.in_(commands.OPEN)).values(state=Delivery.SUPERSEDED.value))
    realm.channels.clear()
    # what was sent under these versions, keys of topics above all, can be read by whoever recorded it
    rotation.rekey(db, realm, find_all(db, realm, topic), operation, purge=True)


def _update_where(
    db: sa.Connection, realm: Realm, table: sa.Table, where: sa.ColumnElement[bool], changes: Mapping[str, Any]
) -> int:
    """How many they were."""
    return len(update_all(db, realm, table, [(row, changes) for row in find_all(db, realm, table, where)]))


def _require_none_pending(db: sa.Connection, realm: Realm) -> None:
    if any(row["state"] == C2KeyState.PENDING for row in _rows(db, realm)):
        raise Conflict("a change of the C2 key is under way; finish it first")


def _following(realm: Realm, after: int, made: Pair | None) -> Pair:
    if realm.token_keys is None:
        return _made_here(realm, after)
    if made is None or made.version <= after:
        raise PairNeeded(realm.token_keys, after)
    return made


def _made_here(realm: Realm, after: int) -> Pair:
    private = realm.suite.c2.generate()
    return Pair(after + 1, private, realm.suite.c2.public(realm.suite.c2.load(private)))


def _store(db: sa.Connection, realm: Realm, pair: Pair, state: C2KeyState) -> None:
    held = {"version": pair.version, "private": pair.private, "public": pair.public}
    insert(db, realm, c2_key, **held, state=state.value, created=realm.clock())


def _newest(rows: Collection[Row]) -> int:
    return max((row["version"] for row in rows if row["state"] != C2KeyState.ABORTED), default=NO_VERSION)


def _rows(db: sa.Connection, realm: Realm) -> list[Row]:
    return sorted(find_all(db, realm, c2_key), key=lambda row: int(row["version"]))


def _view(realm: Realm, row: Row) -> C2Key:
    in_token = reveal(realm, c2_key, row, "private") == IN_TOKEN
    return C2Key(row["version"], C2KeyState(row["state"]), row["public"].hex(), row["created"], in_token)


def _in_state(db: sa.Connection, realm: Realm, state: C2KeyState) -> Row:
    row = find_by(db, realm, c2_key, c2_key.c.state, state.value)
    if row is None:
        raise NotFound(f"there is no {state} C2 key")
    return row
