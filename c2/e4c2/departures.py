# SPDX-License-Identifier: Apache-2.0
"""Who was evicted from a topic and still knows its key: until it gets another one, which several may wait for (rule 5)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2.access.patterns import Patterns
from e4c2.columns import portions
from e4c2.model import departed
from e4c2.rows import Realm, Row

WAITS_AT_MOST_S = 30 * 24 * 3600

_COUNTING = sa.select(sa.func.count()).select_from(departed).where(departed.c.topic == sa.bindparam("of"))


@dataclass(frozen=True, slots=True)
class Departed:
    """``rekey_by``: when the topic gets another key at the latest; None: when somebody rotates it."""

    name: str
    id: str
    requested: float
    rekey_by: float | None


def note(
    db: sa.Connection, realm: Realm, topics: Collection[bytes], gone: Collection[Row], wait_s: float | None
) -> None:
    """These clients know the keys of these topics, and ``wait_s`` from now that is to end; None: whenever somebody rotates them.

    Who has left before counts from then on, and the first of all times is kept.
    """
    now = realm.clock()
    by = None if wait_s is None else now + wait_s
    for each in gone:
        known = {of for (of,) in db.execute(sa.select(departed.c.topic).where(departed.c.client == each["id"]))}
        same = {"client": each["id"], "name": each["name"], "requested": now, "rekey_by": by}
        new = [{**same, "topic": of} for of in topics if of not in known]
        if new:
            db.execute(sa.insert(departed), new)
        again = [of for of in topics if of in known]
        later = sa.or_(departed.c.rekey_by.is_(None), departed.c.rekey_by > (by or 0))
        for portion in portions(again) if by is not None else ():
            mine = [departed.c.client == each["id"], departed.c.topic.in_(portion), later]
            db.execute(sa.update(departed).where(*mine).values(rekey_by=by))


def take(db: sa.Connection, topics: Collection[bytes]) -> dict[bytes, float]:
    """These topics get other keys: topic -> when the first who left was evicted, of those that somebody has left."""
    first: dict[bytes, float] = {}
    for portion in portions(topics):
        mine = departed.c.topic.in_(portion)
        asked = sa.select(departed.c.topic, sa.func.min(departed.c.requested)).where(mine).group_by(departed.c.topic)
        first.update((of, requested) for of, requested in db.execute(asked))
        db.execute(sa.delete(departed).where(mine))
    return first


def returned(db: sa.Connection, topic: bytes, clients: Collection[Row]) -> None:
    """Clients are members again: the same devices, unless they were registered anew meanwhile."""
    for each in clients:
        mine = [departed.c.topic == topic, departed.c.client == each["id"]]
        db.execute(sa.delete(departed).where(*mine, departed.c.requested >= each["created"]))


def due(db: sa.Connection, realm: Realm) -> list[bytes]:
    """Topics that are to get another key now."""
    late = departed.c.rekey_by <= realm.clock()
    return list(db.scalars(sa.select(departed.c.topic).where(late).distinct().order_by(departed.c.topic)))


def put_off(db: sa.Connection, topic: bytes, until: float) -> None:
    """It could not be done now."""
    late = [departed.c.topic == topic, departed.c.rekey_by < until]
    db.execute(sa.update(departed).where(*late).values(rekey_by=until))


def count(db: sa.Connection, topic: bytes) -> int:
    """How many know the key of the topic although they were evicted."""
    return db.scalar(_COUNTING, {"of": topic}) or 0


def page(db: sa.Connection, topic: bytes, after: str, limit: int, seen: Patterns) -> list[Departed]:
    """By name, those after ``after``."""
    mine = sa.select(departed).where(departed.c.topic == topic, departed.c.name > after, seen.where(departed.c.name))
    rows = db.execute(mine.order_by(departed.c.name).limit(limit)).mappings()
    return [Departed(row["name"], row["client"].hex(), row["requested"], row["rekey_by"]) for row in rows]
