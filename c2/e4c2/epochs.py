# SPDX-License-Identifier: Apache-2.0
"""Epochs: each key of a topic has a number that its name never had before (`format2.md` section 5).

Not after the topic was removed and made anew, as the last number is kept; not after a restore, as the clock is its floor. The
newest may be one that members hold beforehand, while another is in use; one that was given up keeps its number, too.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from e4c2.model import topic_epoch, topic_next
from e4c2.rows import Realm, Row, delete, find, find_by, find_ids, insert, insert_all, reveal, update, update_all
from e4core.errors import Conflict, NotFound
from e4core.keys import TopicKey

_END = 1 << 32


class Next(NamedTuple):
    """The epoch that members are to hold beside the one in use."""

    number: int
    key: TopicKey


class Epoch(NamedTuple):
    """``hash``: 32 bytes that stand for the topic on the wire.  ``number``: of the epoch in use."""

    hash: bytes
    number: int
    next: Next | None = None
    has_leftover: bool = False
    """Members may hold a later one, which was given up."""


def fresh_key() -> bytes:
    """A topic key: 32 random bytes."""
    return os.urandom(32)


def advance(db: sa.Connection, realm: Realm, topics: Collection[Row]) -> None:
    """Number the new keys of these topics, which are in use at once; what members hold for later is over.

    Raises: Conflict: there are no numbers left. Tampered.
    """
    now = int(realm.clock())
    ids = [row["id"] for row in topics]
    held = {row["topic"]: row for row in find_ids(db, realm, topic_epoch, topic_epoch.c.topic, ids)}
    known = [row for row in topics if row["id"] in held]
    new = [row for row in topics if row["id"] not in held]
    update_all(
        db, realm, topic_epoch, [(held[row["id"]], {"last": _next(held[row["id"]]["last"], now)}) for row in known]
    )
    first = _next(0, now)
    insert_all(
        db,
        realm,
        topic_epoch,
        [{"topic": row["id"], "hash": realm.suite.derive_topic(row["name"]), "last": first} for row in new],
    )
    delete(db, realm, topic_next, *_later(db, realm, ids).values())


def of(db: sa.Connection, realm: Realm, topics: Collection[bytes]) -> dict[bytes, Epoch]:
    """Topic -> its epochs, of these that ever had one. Raises: Tampered."""
    rows = find_ids(db, realm, topic_epoch, topic_epoch.c.topic, topics) if topics else []
    later = _later(db, realm, topics)
    return {row["topic"]: _epoch(realm, row, later.get(row["topic"])) for row in rows}


def prepare(db: sa.Connection, realm: Realm, topic: bytes) -> int:
    """Make the next key of a topic, which nobody uses yet; its number. Raises: Conflict: no numbers are left. Tampered."""
    row, former = _newest(db, realm, topic), find_by(db, realm, topic_next, topic_next.c.topic, topic)
    number = _next(row["last"], int(realm.clock()))
    if former is None:
        insert(db, realm, topic_next, topic=topic, used=row["last"], key=fresh_key())
    else:
        update(db, realm, topic_next, former, key=fresh_key())
    update(db, realm, topic_epoch, row, last=number)
    return number


def adopt(db: sa.Connection, realm: Realm, topic: bytes) -> bytes:
    """The next epoch is the one in use from now on; its key. Raises: NotFound: there is none. Tampered."""
    row = _held(db, realm, topic)
    key = bytes(reveal(realm, topic_next, row, "key"))
    delete(db, realm, topic_next, row)
    return key


def give_up(db: sa.Connection, realm: Realm, topic: bytes) -> None:
    """The next epoch is never to be used. Raises: NotFound: there is none. Tampered."""
    update(db, realm, topic_next, _held(db, realm, topic), key=None)


def forget(db: sa.Connection, realm: Realm, topics: Collection[bytes]) -> None:
    """These topics are removed; their last numbers stay. Raises: Tampered."""
    delete(db, realm, topic_next, *_later(db, realm, topics).values())


def _epoch(realm: Realm, row: Row, later: Row | None) -> Epoch:
    if later is None:
        return Epoch(row["hash"], row["last"])
    if later["key"] is None:
        return Epoch(row["hash"], later["used"], has_leftover=True)
    return Epoch(row["hash"], later["used"], Next(row["last"], TopicKey(reveal(realm, topic_next, later, "key"))))


def _later(db: sa.Connection, realm: Realm, topics: Collection[bytes]) -> Mapping[bytes, Row]:
    rows = find_ids(db, realm, topic_next, topic_next.c.topic, topics) if topics else []
    return {row["topic"]: row for row in rows}


def _newest(db: sa.Connection, realm: Realm, topic: bytes) -> Row:
    row = find_by(db, realm, topic_epoch, topic_epoch.c.topic, topic)
    if row is None:
        raise NotFound("the topic has no epoch; rotate it")
    return row


def _held(db: sa.Connection, realm: Realm, topic: bytes) -> Row:
    row = find(db, realm, topic_next, topic_next.c.topic == topic, topic_next.c.key.is_not(None))
    if row is None:
        raise NotFound("the topic has no next key")
    return row


def _next(last: int, now: int) -> int:
    number = max(last + 1, now)
    if number >= _END:
        raise Conflict("the topic has no epochs left; mend the clock, or take another name")
    return number
