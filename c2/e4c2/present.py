# SPDX-License-Identifier: Apache-2.0
"""The present, as devices are to be brought to it: what deliveries rest on, read by a handful of statements and checked.

Of both formats; how it is sealed they know themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from e4c2 import c2keys
from e4c2.commands import NO_OBJECT
from e4c2.model import Delivery, Kind, Status, client, link, membership, outbox, topic
from e4c2.rows import Realm, Row, find_ids, find_pairs, reveal, strange
from e4core.errors import Tampered
from e4core.keys import TopicKey
from e4core.suite import Channel

T = TypeVar("T")

log = logging.getLogger(__name__)

_OF_TOPICS = (Kind.TOPIC, Kind.NEXT)
_KINDS = frozenset(kind.value for kind in Kind)
_ATTEMPTS = range(2**31)


@dataclass(frozen=True, slots=True)
class Present:
    """Of the clients, topics and peers that some deliveries name."""

    clients: Mapping[bytes, Row]
    topics: Mapping[bytes, Row]
    topic_keys: Mapping[bytes, TopicKey]
    peer_keys: Mapping[bytes, bytes]
    memberships: frozenset[tuple[bytes, bytes]]
    """(topic, client)"""
    links: frozenset[tuple[bytes, bytes]]
    """(peer, holder)"""
    c2_keys: c2keys.Versions

    def topic_key(self, target: bytes, of: Row) -> TopicKey | None:
        """The key of the topic ``target``, if the client ``of`` is a member."""
        return self.topic_keys.get(target) if (target, of["id"]) in self.memberships else None

    def peer_key(self, target: bytes, of: Row) -> bytes | None:
        """What the client ``of`` is to verify the messages of ``target`` with, if it is to believe them."""
        return self.peer_keys.get(target) if (target, of["id"]) in self.links else None


def read(db: sa.Connection, realm: Realm, rows: Collection[Row], c2_keys: c2keys.Versions) -> Present:
    """All that these deliveries need. Raises: Tampered."""
    clients = {row["id"]: row for row in find_ids(db, realm, client, client.c.id, (r["client"] for r in rows))}
    if any(row["client"] not in clients for row in rows):
        raise strange(outbox)
    of_topics = [row for row in rows if row["kind"] in _OF_TOPICS]
    of_peers = [row for row in rows if row["kind"] == Kind.PEER]
    topics = {row["id"]: row for row in find_ids(db, realm, topic, topic.c.id, (r["object"] for r in of_topics))}
    peers = find_ids(db, realm, client, client.c.id, (r["object"] for r in of_peers))
    return Present(
        clients=clients,
        topics=topics,
        topic_keys={of: TopicKey(reveal(realm, topic, row, "key")) for of, row in topics.items()},
        peer_keys=believed(realm, peers),
        memberships=_pairs(db, realm, (membership.c.topic, membership.c.client), of_topics),
        links=_pairs(db, realm, (link.c.peer, link.c.holder), of_peers),
        c2_keys=c2_keys,
    )


def read_sound(
    db: sa.Connection, rows: Collection[Row], read: Callable[[Collection[Row]], T]
) -> tuple[Collection[Row], T]:
    """What ``read`` makes of these deliveries, less those that rest on rows that were tampered with: they are refused, loudly."""

    def read_written(some: Collection[Row]) -> T:
        if not all(map(_is_written, some)):
            raise strange(outbox)
        return read(some)

    try:
        return rows, read_written(rows)
    except Tampered:
        sound = list(_sound(db, rows, lambda row: read_written([row])))
        return sound, read(sound)


def _is_written(row: Row) -> bool:
    """Whether the C2 can have written it: a delivery carries no MAC."""
    ids = (row["client"], row["object"])
    are_ids = all(isinstance(each, bytes) and len(each) == len(NO_OBJECT) for each in ids)
    # a range is searched item by item for what is no int
    counts = isinstance(row["attempts"], int) and row["attempts"] in _ATTEMPTS
    return are_ids and row["kind"] in _KINDS and counts


def refuse(db: sa.Connection, delivery: int, to: object, error: Tampered) -> None:
    """This delivery rests on a row that was tampered with."""
    log.error(
        "delivery %d to the device %s is refused: %s", delivery, to.hex() if isinstance(to, bytes) else "?", error
    )
    refused = {"state": Delivery.REFUSED.value, "refusal": error.kind}
    db.execute(sa.update(outbox).where(outbox.c.id == delivery).values(**refused))


def believed(realm: Realm, peers: Collection[Row]) -> dict[bytes, bytes]:
    """Client -> what its messages are verified with, of those of ``peers`` that are active. Raises: Tampered."""
    signature = realm.suite.signature
    if signature is None:
        return {}
    active = [row for row in peers if row["status"] == Status.ACTIVE]
    return {row["id"]: bytes(reveal(realm, client, row, "key")[: signature.public_len]) for row in active}


def channel(realm: Realm, c2_keys: c2keys.Versions, of: Row, column: str, version: int) -> Channel:
    """To a device, under one of its keys (column ``key`` or ``pending_key``) and one of the C2's. Raises: Tampered."""
    private = c2_keys.private(version)
    # the record names one key for good: it is sealed under a fresh nonce, and its row was checked
    return realm.channels.get(
        (of["id"], of[column], version),
        lambda: realm.suite.control.at_c2(private, bytes(reveal(realm, client, of, column))),
    )


def channels(realm: Realm, c2_keys: c2keys.Versions, of: Row) -> dict[tuple[str, int], Channel]:
    """All channels that a device may use while keys change (rule 4): (column of its key, C2 version) -> channel.

    Only one of them opens at the device; the others are noise to it.
    """
    columns = [name for name in ("key", "pending_key") if of[name] is not None]
    known = int(of["c2_key"])
    versions = [known, *(version for version in c2_keys.privates if version > known)]
    return {
        (column, version): channel(realm, c2_keys, of, column, version) for column in columns for version in versions
    }


def _sound(db: sa.Connection, rows: Collection[Row], check: Callable[[Row], object]) -> Iterable[Row]:
    for row in rows:
        try:
            check(row)
        except Tampered as error:
            refuse(db, row["id"], row["client"], error)
        else:
            yield row


def _pairs(
    db: sa.Connection, realm: Realm, columns: tuple[sa.Column[bytes], sa.Column[bytes]], rows: Iterable[Row]
) -> frozenset[tuple[bytes, bytes]]:
    """Which objects of these deliveries are granted to their clients; every row that says so is checked."""
    of, to = (column.name for column in columns)
    found = find_pairs(db, realm, columns, ((row["object"], row["client"]) for row in rows))
    return frozenset((row[of], row[to]) for row in found)
