# SPDX-License-Identifier: Apache-2.0
"""Topics and who is a member of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from e4c2 import changes, clients, commands, departures, epochs, events, rotation
from e4c2.access.patterns import EVERY, Patterns
from e4c2.clients import Client
from e4c2.columns import portions
from e4c2.commands import Operation, is_text, parse_id
from e4c2.model import Kind, client, link, membership, planned, topic
from e4c2.rows import Realm, Row, checked, delete, find_all, find_by, find_ids, insert, insert_all, update
from e4core.errors import InvalidInput, NotFound
from e4core.keys import CONTROL_PREFIX, check_topic_name

_NAME = sa.select(topic.c.name).where(topic.c.id == sa.bindparam("of"))
_COUNTING = (
    sa.select(membership.c.topic, sa.func.count())
    .where(membership.c.topic.in_(sa.bindparam("of", expanding=True)))
    .group_by(membership.c.topic)
)


@dataclass(frozen=True, slots=True)
class Topic:
    """What may be shown of a topic."""

    name: str
    id: str
    members: int
    generation: int
    """Counts its changes; who joins or leaves is none, but the new key that follows is."""
    created: float
    rotated: float
    revoke_within_s: float | None
    """How long a revocation is to take at most; None: as the settings say."""


def create(db: sa.Connection, realm: Realm, name: str) -> Topic:
    """A topic with a fresh key and no members. Raises: InvalidInput. Conflict: it exists; it is neither changed nor rotated."""
    row = insert(db, realm, topic, **fresh(realm, name))
    realm.format.renewed(db, realm, [row])
    events.tell(db, realm, events.Kind.TOPIC_CREATED, topic=name)
    return view(row, 0)


def fresh(realm: Realm, name: str) -> dict[str, Any]:
    """The row of a new topic. Raises: InvalidInput."""
    check_topic_name(name)
    if name.startswith(CONTROL_PREFIX):
        raise InvalidInput(f"names that begin with {CONTROL_PREFIX!r} are kept for control topics", kind="bad_topic")
    now = realm.clock()
    return {
        "id": realm.suite.derive_id(name),
        "name": name,
        "key": epochs.fresh_key(),
        "created": now,
        "rotated": now,
        "revoke_within_s": None,
    }


def page(db: sa.Connection, realm: Realm, after: str = "", limit: int = 100, seen: Patterns = EVERY) -> list[Topic]:
    """Topics by name, those after ``after`` that are ``seen``."""
    return [view(row, row["members"]) for row in db.execute(_after(after, limit, seen)).mappings()]


def of_client(
    db: sa.Connection, realm: Realm, name: str, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[Topic]:
    """Topics that the client is a member of, by name, those that are ``seen``. Raises: NotFound. Tampered."""
    row = clients.require(db, realm, name)
    joined = _after(after, limit, seen).join(membership, membership.c.topic == topic.c.id)
    found = checked(db, realm, topic, joined.where(membership.c.client == row["id"]))
    return [view(each, each["members"]) for each in found]


def show(db: sa.Connection, realm: Realm, name: str) -> Topic:
    """Raises: NotFound."""
    return shown(db, require(db, realm, name))


def shown(db: sa.Connection, row: Row) -> Topic:
    """Of the row of a topic that was read for use."""
    return view(row, count_members(db, [row["id"]]).get(row["id"], 0))


def count_members(db: sa.Connection, topics: Collection[bytes]) -> dict[bytes, int]:
    """Topic -> number of its members, of those of these that have some."""
    counts: dict[bytes, int] = {}
    for portion in portions(topics):
        counts.update((of, n) for of, n in db.execute(_COUNTING, {"of": portion}))
    return counts


def members(
    db: sa.Connection, realm: Realm, name: str, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[Client]:
    """Clients that are members, by name, those that are ``seen``. Raises: NotFound. Tampered."""
    row = require(db, realm, name)
    joined = sa.select(client).join(membership, membership.c.client == client.c.id)
    statement = joined.where(membership.c.topic == row["id"], client.c.name > after, seen.where(client.c.name))
    found = checked(db, realm, client, statement.order_by(client.c.name).limit(limit))
    return [clients.view(each) for each in found]


def rotate(db: sa.Connection, realm: Realm, name: str) -> Operation:
    """A new key for all members; the previous one stays readable at them for its grace of an hour. Raises: NotFound.

    Not so where somebody was evicted who still knows it: then this is the re-key that was waited for.
    """
    row = require(db, realm, name)
    operation = commands.begin(db, realm, "rotate", name)
    if rotation.rekey(db, realm, [row], operation):
        commands.rename(db, operation, "rekey")
    return commands.count(db, operation)


def remove(db: sa.Connection, realm: Realm, name: str) -> Operation:
    """Forget a topic; its members are told to forget its key. Raises: NotFound."""
    row = require(db, realm, name)
    operation = commands.begin(db, realm, "remove_topic", name)
    commands.enqueue_members(db, realm, operation, [row["id"]], purge=True)
    delete(db, realm, membership, *find_all(db, realm, membership, membership.c.topic == row["id"]))
    delete(db, realm, topic, row)
    _forget(db, realm, row["id"])
    events.tell(db, realm, events.Kind.TOPIC_REMOVED, topic=name, operation=operation.hex())
    return commands.count(db, operation)


def aim(db: sa.Connection, realm: Realm, name: str, revoke_within_s: float | None) -> Topic:
    """Set how long a revocation is to take at most; None: as the settings say. Raises: NotFound."""
    row = require(db, realm, name)
    update(db, realm, topic, row, revoke_within_s=revoke_within_s)
    return show(db, realm, name)


def join(db: sa.Connection, realm: Realm, name: str, client_names: list[str]) -> Operation:
    """Make clients members; each gets the current key. Who is one already stays one.

    Raises: NotFound. Conflict: a client is suspended.
    """
    row = require(db, realm, name)
    rows = clients.require_all_active(db, realm, client_names)
    joining = {each["id"]: each["name"] for each in rows}
    operation = commands.begin(db, realm, "join", name)
    present = _memberships(db, realm, row["id"], joining)
    new = [identity for identity in joining if identity not in present]
    told = [joining[identity] for identity in new]
    shared = {"topic": row["id"], "created": realm.clock()}
    insert_all(db, realm, membership, ({**shared, "client": identity} for identity in new))
    departures.returned(db, row["id"])
    commands.enqueue(db, realm, operation, new, Kind.TOPIC, row["id"])
    if rotation.with_plan(db, [row["id"]]):
        commands.enqueue(db, realm, operation, new, Kind.NEXT, row["id"])
    events.tell_each(db, realm, events.Kind.MEMBER_JOINED, clients=told, topic=name, operation=operation.hex())
    return commands.count(db, operation)


def leave(
    db: sa.Connection,
    realm: Realm,
    name: str,
    client_names: list[str],
    rekey: bool = True,
    wait_s: float | None = None,
) -> Operation:
    """Evict members: they are told to forget the key, and one new key goes to those who stay.

    Args: rekey: False leaves the key as it is until somebody rotates the topic; the evicted can read until then.  wait_s: how long
        others may leave before it gets another key; None: as the settings say.
    Raises: NotFound: also when a client is no member.
    """
    row = require(db, realm, name)
    leaving = clients.require_all(db, realm, client_names)
    gone = [each["id"] for each in leaving]
    ends = _memberships(db, realm, row["id"], gone)
    for each in leaving:
        if each["id"] not in ends:
            raise NotFound(f"{each['name']} is no member of {name}")
    operation = commands.begin(db, realm, "leave", name)
    delete(db, realm, membership, *ends.values())
    _unlink_strangers(db, realm, gone, row["id"], operation)
    commands.enqueue(db, realm, operation, gone, Kind.TOPIC, row["id"], purge=True)
    told = [each["name"] for each in leaving]
    events.tell_each(db, realm, events.Kind.MEMBER_EVICTED, clients=told, topic=name, operation=operation.hex())
    rotation.revoke(db, realm, [(row, leaving)], operation, rekey, wait_s)
    return commands.count(db, operation)


def _memberships(db: sa.Connection, realm: Realm, of: bytes, among: Collection[bytes]) -> dict[bytes, Row]:
    """Client -> membership, of those among these clients that are members of a topic. Raises: Tampered."""
    rows = find_ids(db, realm, membership, membership.c.client, among, membership.c.topic == of)
    return {row["client"]: row for row in rows}


def _unlink_strangers(db: sa.Connection, realm: Realm, gone: Collection[bytes], left: bytes, operation: bytes) -> None:
    """Members who now share no topic with one of the evicted need not believe its signatures any more (rule 5)."""
    theirs, its = membership.alias("theirs"), membership.alias("its")
    both = [theirs.c.client == link.c.holder, its.c.client == link.c.peer, theirs.c.topic == its.c.topic]
    stays = sa.exists().where(membership.c.client == link.c.holder, membership.c.topic == left)
    strangers = [stays, ~sa.exists().where(*both)]
    ends = find_ids(db, realm, link, link.c.peer, gone, *strangers)
    commands.enqueue_holders(db, realm, operation, gone, *strangers)
    delete(db, realm, link, *ends)


def name_of(db: sa.Connection, identity: str, seen: Patterns = EVERY) -> str:
    """Name of the topic with this id (hexadecimal). Raises: NotFound: also when it is not ``seen``."""
    name = db.scalar(_NAME, {"of": parse_id(identity)})
    if name is None or not seen.match(name):
        raise NotFound(f"there is no topic with the id {identity!r}")
    return str(name)


def require(db: sa.Connection, realm: Realm, name: str) -> Row:
    """Raises: NotFound. Tampered."""
    row = find_by(db, realm, topic, topic.c.name, name) if is_text(name) else None
    if row is None:
        raise NotFound(f"there is no topic {name!r}")
    return row


def _after(name: str, limit: int, seen: Patterns) -> sa.Select[Any]:
    """Topics by name, those that are ``seen``, each with the number of its members."""
    members = sa.select(sa.func.count()).where(membership.c.topic == topic.c.id).correlate(topic).scalar_subquery()
    statement = sa.select(topic, members.label("members")).where(topic.c.name > name, seen.where(topic.c.name))
    return statement.order_by(topic.c.name).limit(limit)


def view(row: Row, count: int) -> Topic:
    return Topic(
        row["name"], row["id"].hex(), count, row["generation"], row["created"], row["rotated"], row["revoke_within_s"]
    )


def _forget(db: sa.Connection, realm: Realm, topic_id: bytes) -> None:
    """What was planned, waited for and measured."""
    changes.forget(db, [topic_id])
    departures.take(db, [topic_id])
    epochs.forget(db, realm, [topic_id])
    db.execute(sa.delete(planned).where(planned.c.topic == topic_id))
