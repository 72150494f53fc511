# SPDX-License-Identifier: Apache-2.0
"""A new key for a topic, and what members are sent because of it (`design.md` section 5, rule 5)."""

from __future__ import annotations

import os

import sqlalchemy as sa

from e4c2 import commands
from e4c2.model import topic
from e4c2.rows import Realm, Row, update


def fresh_key() -> bytes:
    """A topic key: 32 random bytes."""
    return os.urandom(32)


def rekey(db: sa.Connection, realm: Realm, row: Row, operation: bytes, *, purge: bool = False) -> None:
    """Give the topic a new key and send it to all active members.

    Args: purge: they forget the previous key at once rather than after its grace, as somebody was evicted who has it.
    """
    update(db, realm, topic, row, key=fresh_key(), rotated=realm.clock())
    commands.enqueue_members(db, realm, operation, row["id"], purge=purge)
