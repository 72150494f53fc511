# SPDX-License-Identifier: Apache-2.0
"""Links: which client holds whose public key, and so believes whose signatures (public-key suites only)."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import clients, commands
from e4c2.access.patterns import EVERY, Patterns
from e4c2.clients import Client
from e4c2.commands import ARROW, Operation
from e4c2.model import Kind, client, link
from e4c2.rows import Realm, checked, delete, find, find_all, insert
from e4core.errors import InvalidInput, NotFound, UnsupportedSuite


def send(db: sa.Connection, realm: Realm, holder: str, peer: str) -> Operation:
    """Send the public key of ``peer`` to ``holder``, now and whenever it changes. Raises: NotFound. Conflict. UnsupportedSuite."""
    _require_signatures(realm)
    to, of = clients.require_active(db, realm, holder), clients.require(db, realm, peer)
    if to["id"] == of["id"]:
        raise InvalidInput("a client is not linked to itself")
    operation = commands.begin(db, realm, "link", holder + ARROW + peer)
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
    operation = commands.begin(db, realm, "unlink", holder + ARROW + peer)
    delete(db, realm, link, row)
    commands.enqueue(db, realm, operation, [to["id"]], Kind.PEER, of["id"])
    return commands.count(db, operation)


def reset(db: sa.Connection, realm: Realm, holder: str) -> Operation:
    """Make ``holder`` forget all public keys. Raises: NotFound. UnsupportedSuite."""
    _require_signatures(realm)
    to = clients.require(db, realm, holder)
    operation = commands.begin(db, realm, "reset_links", holder)
    delete(db, realm, link, *find_all(db, realm, link, link.c.holder == to["id"]))
    commands.close(db, [to["id"]], (Kind.PEER,))
    commands.enqueue(db, realm, operation, [to["id"]], Kind.RESET_PEERS)
    return commands.count(db, operation)


def page(
    db: sa.Connection, realm: Realm, holder: str, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[Client]:
    """Clients whose public keys ``holder`` holds, by name, those that are ``seen``. Raises: NotFound. Tampered."""
    to = clients.require(db, realm, holder)
    joined = sa.select(client).join(link, link.c.peer == client.c.id)
    statement = joined.where(link.c.holder == to["id"], client.c.name > after, seen.where(client.c.name))
    found = checked(db, realm, client, statement.order_by(client.c.name).limit(limit))
    return [clients.view(peer) for peer in found]


def _require_signatures(realm: Realm) -> None:
    if realm.suite.is_symmetric:
        raise UnsupportedSuite(f"the suite {realm.suite.name} has no public keys to send")
