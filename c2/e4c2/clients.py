# SPDX-License-Identifier: Apache-2.0
"""Clients: the devices that this C2 knows, and their keys (`design.md` section 5, rule 4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from e4c2 import c2keys, catching_up, commands, events, rotation, sequences
from e4c2.access.patterns import EVERY, Patterns
from e4c2.columns import portions
from e4c2.commands import Operation, is_text, parse_id
from e4c2.model import Delivery, Kind, Reason, Status, client, link, membership, outbox, topic
from e4c2.rows import Realm, Row, delete, find_all, find_ids, insert, reveal, update
from e4core.errors import Conflict, InvalidInput, NotFound, UnsupportedSuite
from e4core.keys import ClientId, check_client_name


@dataclass(frozen=True, slots=True)
class Client:
    """What may be shown of a client."""

    name: str
    id: str
    status: Literal[Status.ACTIVE, Status.SUSPENDED]
    reports: bool
    """True: it has proved that it confirms; False: it is only ever sent to."""
    key_change: bool
    """True: a new device key is on its way and not yet confirmed."""
    c2_key: int
    """Version of the C2's key that it is known to hold; 0 in symmetric suites."""
    generation: int
    """Counts its changes, but for the time of its last report."""
    created: float
    last_report: float | None


def create(
    db: sa.Connection, realm: Realm, name: str, key: bytes, c2_key: int, client_id: bytes | None = None
) -> Client:
    """Register a client.

    Args: key: what the suite's device identity calls public (a secret 32-byte key in symmetric suites).  c2_key: version of the
        C2's key that the device was given (0 in symmetric suites).
    Raises: InvalidInput. Conflict: the name or the id exists, nothing is overwritten; the version is in use no more.
    """
    check(realm, name, key)
    c2keys.check_version(db, realm, c2_key)
    row = insert(db, realm, client, **fresh(realm, name, key, c2_key, client_id))
    commands.tell_c2_keys(db, realm, [row])
    events.tell(db, realm, events.Kind.CLIENT_ENROLLED, client=name, anew=False)
    return view(row)


def check(realm: Realm, name: str, key: bytes) -> None:
    """Raises: InvalidInput: no client can have this name, or this key."""
    check_client_name(name)
    realm.suite.device.check(key)


def fresh(realm: Realm, name: str, key: bytes, c2_key: int, client_id: bytes | None) -> dict[str, Any]:
    """The row of a new client."""
    return {
        "id": bytes(ClientId(client_id or realm.suite.derive_id(name))),
        "name": name,
        "status": Status.ACTIVE.value,
        "key": key,
        "pending_key": None,
        "pending_private": None,
        "c2_key": c2_key,
        "reports": False,
        "created": realm.clock(),
        "last_report": None,
    }


def page(db: sa.Connection, realm: Realm, after: str = "", limit: int = 100, seen: Patterns = EVERY) -> list[Client]:
    """Clients by name, those after ``after`` that are ``seen``."""
    statement = (
        sa.select(client).where(client.c.name > after, seen.where(client.c.name)).order_by(client.c.name).limit(limit)
    )
    return [view(row) for row in db.execute(statement).mappings()]


def show(db: sa.Connection, realm: Realm, name: str) -> Client:
    """Raises: NotFound."""
    return view(require(db, realm, name))


def remove(db: sa.Connection, realm: Realm, name: str, rekey: bool = True, wait_s: float | None = None) -> Operation:
    """Forget a client: it leaves all its topics, which are re-keyed for those who stay, and nobody holds its public key.

    Args: as those of `topics.leave`.
    """
    return remove_all(db, realm, [name], rekey, wait_s)


def remove_all(
    db: sa.Connection,
    realm: Realm,
    names: Collection[str],
    rekey: bool = True,
    wait_s: float | None = None,
) -> Operation:
    """As `remove`, all or none; each topic that some of them leave is re-keyed once. Raises: InvalidInput: none. NotFound."""
    rows = require_all(db, realm, names)
    gone = {row["id"]: row for row in rows}
    change = ("remove_client", rows[0]["name"]) if len(rows) == 1 else ("remove_clients", "several clients")
    operation = commands.begin(db, realm, *change)
    memberships = find_ids(db, realm, membership, membership.c.client, gone)
    left = _left(db, realm, memberships, gone)
    held = find_ids(db, realm, link, link.c.holder, gone)
    known = [each for each in find_ids(db, realm, link, link.c.peer, gone) if each["holder"] not in gone]
    commands.enqueue_holders(db, realm, operation, gone)
    delete(db, realm, membership, *memberships)
    delete(db, realm, link, *held, *known)
    for portion in portions(gone):
        db.execute(sa.delete(outbox).where(outbox.c.client.in_(portion)))
    sequences.forget(db, realm, gone)
    delete(db, realm, client, *rows)
    realm.channels.clear()
    told = [row["name"] for row in rows]
    events.tell_each(db, realm, events.Kind.CLIENT_REMOVED, clients=told, operation=operation.hex())
    rotation.revoke(db, realm, left, operation, rekey, wait_s)
    return commands.count(db, operation)


def new_key(db: sa.Connection, realm: Realm, name: str, reason: Reason) -> Operation:
    """Change the device's key.

    ``routine``: a fresh key is sent to the device, or the device is asked to make one; the old one is kept until a report opens
    under the new one, or `confirm_key`.
    ``compromised``: nothing is sealed under the old key any more; the client is suspended, its topics are re-keyed without it,
    and it must be enrolled anew with `enrol`.
    Raises: NotFound. Conflict: a change is under way, or the client is suspended.
    """
    row = require(db, realm, name)
    operation = commands.begin(db, realm, f"new_key_{reason}", name)
    if reason is Reason.COMPROMISED:
        _suspend(db, realm, row, operation)
        return commands.count(db, operation)
    if row["status"] != Status.ACTIVE:
        raise Conflict(f"{name} is suspended; enrol it anew")
    if row["pending_private"] is not None:
        raise Conflict(f"a key change of {name} is under way; confirm or cancel it first")
    update(db, realm, client, row, **realm.format.key_change.begin(realm.suite))
    commands.enqueue(db, realm, operation, [row["id"]], Kind.ID_KEY)
    return commands.count(db, operation)


def confirm_key(db: sa.Connection, realm: Realm, name: str) -> Operation:
    """An operator has seen that the device uses its new key.

    Raises: NotFound. Conflict: no change is under way. UnsupportedSuite: devices of this suite confirm it themselves.
    """
    row = require_active(db, realm, name)
    _require_operators_word(realm)
    operation = commands.begin(db, realm, "confirm_key", name)
    adopt_pending_key(db, realm, row, operation)
    return commands.count(db, operation)


def cancel_key(db: sa.Connection, realm: Realm, name: str) -> Client:
    """An operator knows that the device still uses its old key.

    Raises: NotFound. Conflict: no change is under way, or its command may still reach the device.
    """
    row = require_active(db, realm, name)
    _require_pending(row)
    realm.format.key_change.check_cancel(db, realm, row)
    commands.close(db, [row["id"]], (Kind.ID_KEY,))
    return view(update(db, realm, client, row, pending_key=None, pending_private=None))


def laggards(
    db: sa.Connection, realm: Realm, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[Client]:
    """Active clients that are not known to hold the C2's newest key, by name, those after ``after`` that are ``seen``."""
    behind = [client.c.status == Status.ACTIVE.value, client.c.c2_key != c2keys.newest(db, realm)]
    statement = (
        sa.select(client)
        .where(*behind, client.c.name > after, seen.where(client.c.name))
        .order_by(client.c.name)
        .limit(limit)
    )
    return [view(row) for row in db.execute(statement).mappings()]


def confirm_c2_key(db: sa.Connection, realm: Realm, name: str) -> Client:
    """An operator has seen that the device uses the C2's newest key; nothing is sealed for it under an older one any more.

    Raises: NotFound. UnsupportedSuite: symmetric, or devices confirm it themselves. Conflict: suspended, known already, or the key
    was never sent to the device.
    """
    row = require_active(db, realm, name)
    c2keys.require_public_keys(realm)
    _require_operators_word(realm)
    newest = c2keys.newest(db, realm)
    if row["c2_key"] == newest:
        raise Conflict(f"{name} is known to hold the C2's newest key")
    if row["c2_key"] > newest:
        raise Conflict(f"{name} is known to hold a C2 key that was given up; the next change brings it to the newest")
    mine = [outbox.c.client == row["id"], outbox.c.kind == Kind.C2_KEY.value]
    unsent = [outbox.c.state == Delivery.PENDING.value, outbox.c.attempts == 0]
    if db.scalar(sa.select(outbox.c.id).where(*mine, *unsent).limit(1)) is not None:
        raise Conflict(f"the C2's new key was not yet sent to {name}; confirm it when it was")
    commands.close(db, [row["id"]], (Kind.C2_KEY,), Delivery.CONFIRMED)
    return view(update(db, realm, client, row, c2_key=newest))


def enrol(db: sa.Connection, realm: Realm, name: str, key: bytes, c2_key: int) -> Operation:
    """Give a suspended client a key that was made anew, and all that it is a member of.

    Raises: NotFound. Conflict: not suspended, this is the key of before, or the version of the C2's key is in use no more.
    InvalidInput.
    """
    row = require(db, realm, name)
    if row["status"] != Status.SUSPENDED:
        raise Conflict(f"{name} is not suspended")
    realm.suite.device.check(key)
    c2keys.check_version(db, realm, c2_key)
    if any(reveal(realm, client, row, column) == key for column in ("key", "pending_key") if row[column] is not None):
        raise Conflict("this is the compromised key; make a new one")
    fresh = {"key": key, "pending_key": None, "c2_key": c2_key, "reports": False}
    row = update(db, realm, client, row, status=Status.ACTIVE.value, **fresh)
    sequences.begin_anew(db, realm, row["id"])
    operation = commands.begin(db, realm, "enrol", name)
    catching_up.fill(db, realm, [row], operation)
    commands.enqueue_holders(db, realm, operation, [row["id"]], purge=True)
    events.tell(db, realm, events.Kind.CLIENT_ENROLLED, client=name, anew=True)
    return commands.count(db, operation)


def reset(db: sa.Connection, realm: Realm, name: str) -> Operation:
    """Empty the device and give it again all that it should hold. Raises: NotFound. Conflict: suspended."""
    row = require_active(db, realm, name)
    operation = commands.begin(db, realm, "reset", name)
    catching_up.fill(db, realm, [row], operation)
    return commands.count(db, operation)


def adopt_pending_key(db: sa.Connection, realm: Realm, row: Row, operation: bytes | None) -> Row:
    """The device is known to use its new key: forget the old one, and tell those who hold its public key."""
    if row["pending_key"] is None:
        raise Conflict(f"no new key of {row['name']} is known")
    public = reveal(realm, client, row, "pending_key")
    after = update(db, realm, client, row, key=public, pending_key=None, pending_private=None)
    commands.close(db, [row["id"]], (Kind.ID_KEY,), Delivery.CONFIRMED)
    commands.enqueue_holders(db, realm, operation, [row["id"]])
    events.tell(db, realm, events.Kind.CLIENT_KEY_CHANGED, client=row["name"])
    return after


def name_of(db: sa.Connection, identity: str, seen: Patterns = EVERY) -> str:
    """Name of the client with this id (hexadecimal). Raises: NotFound: also when it is not ``seen``."""
    return names_of(db, [identity], seen)[0]


def names_of(db: sa.Connection, identities: Collection[str], seen: Patterns = EVERY) -> list[str]:
    """Names of the clients with these ids (hexadecimal), in this order. Raises: NotFound: the first missing or not ``seen``."""
    names = seen_names(db, identities, seen)
    for identity in identities:
        if identity not in names:
            raise NotFound(f"there is no client with the id {identity!r}")
    return [names[identity] for identity in identities]


def seen_names(db: sa.Connection, identities: Collection[str], seen: Patterns) -> dict[str, str]:
    """Id -> name, of those of these clients that are there and ``seen``. Raises: NotFound: one is no id."""
    columns = sa.select(client.c.id, client.c.name)
    names: dict[str, str] = {}
    for portion in portions(parse_id(identity) for identity in identities):
        rows = db.execute(columns.where(client.c.id.in_(portion)))
        names.update((row.id.hex(), row.name) for row in rows if seen.match(row.name))
    return names


def require(db: sa.Connection, realm: Realm, name: str) -> Row:
    """Raises: NotFound. Tampered."""
    return require_all(db, realm, [name])[0]


def require_active(db: sa.Connection, realm: Realm, name: str) -> Row:
    """Raises: NotFound. Conflict: suspended. Tampered."""
    return require_all_active(db, realm, [name])[0]


def require_all(db: sa.Connection, realm: Realm, names: Collection[str]) -> list[Row]:
    """Rows of all ``names``, each once. Raises: InvalidInput: none. NotFound: the first that is missing. Tampered."""
    if not names:
        raise InvalidInput("name one client at least")
    wanted = dict.fromkeys(names)
    found = {row["name"]: row for row in find_ids(db, realm, client, client.c.name, filter(is_text, wanted))}
    for name in wanted:
        if name not in found:
            raise NotFound(f"there is no client {name!r}")
    return [found[name] for name in wanted]


def require_all_active(db: sa.Connection, realm: Realm, names: Collection[str]) -> list[Row]:
    """As `require_all`. Raises, too: Conflict: the first that is suspended."""
    rows = require_all(db, realm, names)
    for row in rows:
        if row["status"] != Status.ACTIVE:
            raise Conflict(f"{row['name']} is suspended; enrol it anew")
    return rows


def view(row: Row) -> Client:
    return Client(
        name=row["name"],
        id=row["id"].hex(),
        status=Status(row["status"]),
        reports=bool(row["reports"]),
        key_change=row["pending_private"] is not None,
        c2_key=row["c2_key"],
        generation=row["generation"],
        created=row["created"],
        last_report=row["last_report"],
    )


def _suspend(db: sa.Connection, realm: Realm, row: Row, operation: bytes) -> None:
    """Trust the device in nothing any more; its memberships and links stay on record, for when it is enrolled anew.

    So does the public part of a key that was under way: it was sent under the compromised one.
    """
    update(db, realm, client, row, status=Status.SUSPENDED.value, pending_private=None)
    commands.close(db, [row["id"]], tuple(Kind))
    realm.channels.clear()
    commands.enqueue_holders(db, realm, operation, [row["id"]], purge=True)
    events.tell(db, realm, events.Kind.CLIENT_SUSPENDED, client=row["name"], operation=operation.hex())
    rotation.rekey(db, realm, _topics(db, realm, row), operation, purge=True)


def _left(
    db: sa.Connection, realm: Realm, memberships: Collection[Row], gone: Mapping[bytes, Row]
) -> list[tuple[Row, list[Row]]]:
    """Topics, and who leaves each."""
    leavers: dict[bytes, list[Row]] = {}
    for each in memberships:
        leavers.setdefault(each["topic"], []).append(gone[each["client"]])
    return [(row, leavers[row["id"]]) for row in find_ids(db, realm, topic, topic.c.id, leavers)]


def _topics(db: sa.Connection, realm: Realm, row: Row) -> list[Row]:
    memberships = find_all(db, realm, membership, membership.c.client == row["id"])
    return find_ids(db, realm, topic, topic.c.id, [each["topic"] for each in memberships])


def _require_pending(row: Row) -> None:
    if row["pending_private"] is None:
        raise Conflict(f"no key change of {row['name']} is under way")


def _require_operators_word(realm: Realm) -> None:
    if not realm.format.key_change.operators_confirm:
        raise UnsupportedSuite(f"in the suite {realm.suite.name} a device itself confirms its keys, and nobody for it")
