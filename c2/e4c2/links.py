# SPDX-License-Identifier: Apache-2.0
"""Links: which client holds whose public key, and so believes whose signatures (public-key suites only)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import clients, commands
from e4c2.commands import Operation
from e4c2.model import Kind, client, link
from e4c2.rows import Realm, delete, find, find_all, insert
from e4core.errors import InvalidInput, NotFound, UnsupportedSuite


@dataclass(frozen=True, slots=True)
class Link:
    """``holder`` holds the public key of ``peer``."""

    holder: str
    peer: str


def send(db: sa.Connection, realm: Realm, holder: str, peer: str) -> Operation:
    """Send the public key of ``peer`` to ``holder``, now and whenever it changes. Raises: NotFound. Conflict. UnsupportedSuite."""
    _require_signatures(realm)
    to, of = clients.require_active(db, realm, holder), clients.require(db, realm, peer)
    if to["id"] == of["id"]:
        raise InvalidInput("a client is not linked to itself")
    operation = commands.begin(db, realm, "link", f"{holder} <- {peer}")
    if find(db, realm, link, link.c.holder == to["id"], link.c.peer == of["id"]) is None:
        insert(db, realm, link, holder=to["id"], peer=of["id"], created=realm.clock())
    commands.enqueue(db, realm, operation, [to["id"]], Kind.PEER, of["id"])
    return commands.count(db, operation)


def remove(db: sa.Connection, realm: Realm, holder: str, peer: str) -> Operation:
    """Make ``holder`` forget the public key of ``peer``. Raises: NotFound. UnsupportedSuite."""
    _require_signatures(realm)
    to, of = clients.require(db, realm, holder), clients.require(db, realm, peer)
    row = find(db, realm, link, link.c.holder == to["id"], link.c.peer == of["id"])
    if row is None:
        raise NotFound(f"{holder} does not hold the public key of {peer}")
    operation = commands.begin(db, realm, "unlink", f"{holder} <- {peer}")
    delete(db, realm, link, row)
    commands.enqueue(db, realm, operation, [to["id"]], Kind.PEER, of["id"])
    return commands.count(db, operation)


def reset(db: sa.Connection, realm: Realm, holder: str) -> Operation:
    """Make ``holder`` forget all public keys. Raises: NotFound. UnsupportedSuite."""
    _require_signatures(realm)
    to = clients.require(db, realm, holder)
    operation = commands.begin(db, realm, "reset_links", holder)
    delete(db, realm, link, *find_all(db, realm, link, link.c.holder == to["id"]))
    commands.close(db, to["id"], (Kind.PEER,))
    commands.enqueue(db, realm, operation, [to["id"]], Kind.RESET_PEERS)
    return commands.count(db, operation)


def page(db: sa.Connection, realm: Realm, holder: str, after: str = "", limit: int = 100) -> list[Link]:
    """Whose public keys ``holder`` holds, by name. Raises: NotFound."""
    to = clients.require(db, realm, holder)
    joined = sa.join(client, link, link.c.peer == client.c.id)
    statement = sa.select(client.c.name).select_from(joined).where(link.c.holder == to["id"], client.c.name > after)
    return [Link(holder, peer) for peer in db.scalars(statement.order_by(client.c.name).limit(limit))]


def _require_signatures(realm: Realm) -> None:
    if realm.suite.is_symmetric:
        raise UnsupportedSuite(f"the suite {realm.suite.name} has no public keys to send")
