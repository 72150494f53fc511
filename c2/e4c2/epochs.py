# SPDX-License-Identifier: Apache-2.0
"""Epochs: each key of a topic has a number that its name never had before (`format2.md` section 5).

Not after the topic was removed and made anew, as the last number is kept; not after a restore, as the clock is its floor.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import sqlalchemy as sa

from e4c2.model import topic_epoch
from e4c2.rows import Realm, Row, find_ids, insert_all, update_all
from e4core.errors import Conflict

_END = 1 << 32


class Epoch(NamedTuple):
    """``hash``: 32 bytes that stand for the topic on the wire."""

    hash: bytes
    number: int


def advance(db: sa.Connection, realm: Realm, topics: Collection[Row]) -> None:
    """Number the new keys of these topics. Raises: Conflict: there are no numbers left. Tampered."""
    now = int(realm.clock())
    held = {row["topic"]: row for row in find_ids(db, realm, topic_epoch, topic_epoch.c.topic, _ids(topics))}
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


def of(db: sa.Connection, realm: Realm, topics: Collection[bytes]) -> dict[bytes, Epoch]:
    """Topic -> its newest epoch, of these that ever had one. Raises: Tampered."""
    rows = find_ids(db, realm, topic_epoch, topic_epoch.c.topic, topics) if topics else []
    return {row["topic"]: Epoch(row["hash"], row["last"]) for row in rows}


def _next(last: int, now: int) -> int:
    number = max(last + 1, now)
    if number >= _END:
        raise Conflict("the topic has no epochs left; mend the clock, or take another name")
    return number


def _ids(topics: Collection[Row]) -> list[bytes]:
    return [row["id"] for row in topics]
