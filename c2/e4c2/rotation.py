# SPDX-License-Identifier: Apache-2.0
"""A new key for a topic, and what members are sent because of it (`design.md` section 5, rule 5)."""

from __future__ import annotations

import os
from collections.abc import Collection

import sqlalchemy as sa

from e4c2 import commands
from e4c2.model import topic
from e4c2.rows import Realm, Row, update_all


def fresh_key() -> bytes:
    """A topic key: 32 random bytes."""
    return os.urandom(32)


def rekey(db: sa.Connection, realm: Realm, topics: Collection[Row], operation: bytes, *, purge: bool = False) -> None:
    """Give each of the topics a new key and send it to all its active members.

    Args: purge: they forget the previous key at once rather than after its grace, as somebody was evicted who has it.
    """
    now = realm.clock()
    update_all(db, realm, topic, [(row, {"key": fresh_key(), "rotated": now}) for row in topics])
    realm.format.renewed(db, realm, topics)
    commands.enqueue_members(db, realm, operation, [row["id"] for row in topics], purge=purge)
