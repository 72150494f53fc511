# SPDX-License-Identifier: Apache-2.0
"""Topics and who is a member of them."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import clients, commands, rotation
from e4c2.commands import Operation, is_text, parse_id
from e4c2.model import Kind, client, link, membership, topic
from e4c2.rows import Realm, Row, delete, find, find_all, insert
from e4core.errors import InvalidInput, NotFound
from e4core.keys import CONTROL_PREFIX, check_topic_name


@dataclass(frozen=True, slots=True)
class Topic:
    """What may be shown of a topic."""

    name: str
    id: str
    members: int
    created: float
    rotated: float


def create(db: sa.Connection, realm: Realm, name: str) -> Topic:
    """A topic with a fresh key and no members. Raises: InvalidInput. Conflict: it exists; it is neither changed nor rotated."""
    check_topic_name(name)
    if name.startswith(CONTROL_PREFIX):
        raise InvalidInput(f"names that begin with {CONTROL_PREFIX!r} are kept for control topics", kind="bad_topic")
    now = realm.clock()
    row = insert(
        db,
        realm,
        topic,
        id=realm.suite.derive_id(name),
        name=name,
        key=rotation.fresh_key(),
        created=now,
        rotated=now,
    )
    return _view(row, 0)


def page(db: sa.Connection, realm: Realm, after: str = "", limit: int = 100) -> list[Topic]:
    """Topics by name, those after ``after``."""
    members = sa.select(sa.func.count()).where(membership.c.topic == topic.c.id).correlate(topic).scalar_subquery()
    statement = sa.select(topic, members.label("members")).where(topic.c.name > after)
    rows = db.execute(statement.order_by(topic.c.name).limit(limit)).mappings()
    return [_view(row, row["members"]) for row in rows]


def show(db: sa.Connection, realm: Realm, name: str) -> Topic:
    """Raises: NotFound."""
    row = require(db, realm, name)
    members = sa.select(sa.func.count()).select_from(membership).where(membership.c.topic == row["id"])
    return _view(row, db.scalar(members) or 0)


def members(db: sa.Connection, realm: Realm, name: str, after: str = "", limit: int = 100) -> list[str]:
    """Names of the clients that are members. Raises: NotFound."""
    row = require(db, realm, name)
    joined = sa.join(client, membership, membership.c.client == client.c.id)
    statement = (
        sa.select(client.c.name).select_from(joined).where(membership.c.topic == row["id"], client.c.name > after)
    )
    return list(db.scalars(statement.order_by(client.c.name).limit(limit)))


def rotate(db: sa.Connection, realm: Realm, name: str) -> Operation:
    """A new key for all members; the previous one stays readable at them for its grace of an hour. Raises: NotFound."""
    row = require(db, realm, name)
    operation = commands.begin(db, realm, "rotate", name)
    rotation.rekey(db, realm, row, operation)
    return commands.count(db, operation)


def remove(db: sa.Connection, realm: Realm, name: str) -> Operation:
    """Forget a topic; its members are told to forget its key. Raises: NotFound."""
    row = require(db, realm, name)
    operation = commands.begin(db, realm, "remove_topic", name)
    commands.enqueue_members(db, realm, operation, row["id"])
    delete(db, realm, membership, *find_all(db, realm, membership, membership.c.topic == row["id"]))
    delete(db, realm, topic, row)
    return commands.count(db, operation)


def join(db: sa.Connection, realm: Realm, name: str, client_names: list[str]) -> Operation:
    """Make clients members; each gets the current key. Who is one already stays one.

    Raises: NotFound. Conflict: a client is suspended.
    """
    row = require(db, realm, name)
    joining = [clients.require_active(db, realm, each["name"]) for each in clients.require_all(db, realm, client_names)]
    operation = commands.begin(db, realm, "join", name)
    present = {m["client"] for m in find_all(db, realm, membership, membership.c.topic == row["id"])}
    new = [each["id"] for each in joining if each["id"] not in present]
    for identity in new:
        insert(db, realm, membership, topic=row["id"], client=identity, created=realm.clock())
    commands.enqueue(db, realm, operation, new, Kind.TOPIC, row["id"])
    return commands.count(db, operation)


def leave(db: sa.Connection, realm: Realm, name: str, client_names: list[str], rekey: bool = True) -> Operation:
    """Evict members: they are told to forget the key, and one new key goes to those who stay.

    Args: rekey: False leaves the key as it is; the evicted can then still read.
    Raises: NotFound: also when a client is no member.
    """
    row = require(db, realm, name)
    leaving = clients.require_all(db, realm, client_names)
    operation = commands.begin(db, realm, "leave", name)
    for each in leaving:
        member = find(db, realm, membership, membership.c.topic == row["id"], membership.c.client == each["id"])
        if member is None:
            raise NotFound(f"{each['name']} is no member of {name}")
        delete(db, realm, membership, member)
    for each in leaving:
        _unlink_strangers(db, realm, each["id"], row["id"], operation)
    commands.enqueue(db, realm, operation, [each["id"] for each in leaving], Kind.TOPIC, row["id"])
    if rekey:
        rotation.rekey(db, realm, row, operation, purge=True)
    return commands.count(db, operation)


def _unlink_strangers(db: sa.Connection, realm: Realm, gone: bytes, left: bytes, operation: bytes) -> None:
    """Members who now share no topic with the evicted need not believe its signatures any more (rule 5)."""
    theirs, its = membership.alias("theirs"), membership.alias("its")
    shared = sa.exists().where(theirs.c.client == link.c.holder, its.c.topic == theirs.c.topic, its.c.client == gone)
    stays = sa.exists().where(membership.c.client == link.c.holder, membership.c.topic == left)
    for row in find_all(db, realm, link, link.c.peer == gone, stays, ~shared):
        delete(db, realm, link, row)
        commands.enqueue(db, realm, operation, [row["holder"]], Kind.PEER, gone)


def name_of(db: sa.Connection, identity: str) -> str:
    """Name of the topic with this id (hexadecimal). Raises: NotFound."""
    name = db.scalar(sa.select(topic.c.name).where(topic.c.id == parse_id(identity)))
    if name is None:
        raise NotFound(f"there is no topic with the id {identity!r}")
    return str(name)


def require(db: sa.Connection, realm: Realm, name: str) -> Row:
    """Raises: NotFound. Tampered."""
    row = find(db, realm, topic, topic.c.name == name) if is_text(name) else None
    if row is None:
        raise NotFound(f"there is no topic {name!r}")
    return row


def _view(row: Row, count: int) -> Topic:
    return Topic(row["name"], row["id"].hex(), count, row["created"], row["rotated"])
