# SPDX-License-Identifier: Apache-2.0
"""Who was evicted from a topic and still knows its key: until it gets another one, which several may wait for (rule 5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2.access.patterns import Patterns
from e4c2.columns import among, portions
from e4c2.model import client, departed, membership
from e4c2.rows import Realm, Row
from e4c2.setwise import Setwise

WAITS_AT_MOST_S = 30 * 24 * 3600

Left = Collection[tuple[Row, Collection[Row]]]
"""Topics, each with the clients that left it."""
_COUNTING = sa.select(sa.func.count()).select_from(departed).where(departed.c.topic == sa.bindparam("of"))
_SOONER = Setwise(
    {"of": departed.c.topic.type, "who": departed.c.client.type, "by": departed.c.rekey_by.type},
    lambda to: (
        sa.update(departed)
        .where(departed.c.topic == to["of"], departed.c.client == to["who"])
        .where(sa.or_(departed.c.rekey_by.is_(None), departed.c.rekey_by > to["by"]))
        .values(rekey_by=to["by"])
    ),
)
_IS_BACK = sa.exists().where(
    membership.c.topic == departed.c.topic,
    membership.c.client == departed.c.client,
    client.c.id == departed.c.client,
    client.c.created <= departed.c.requested,
)


@dataclass(frozen=True, slots=True)
class Departed:
    """``rekey_by``: when the topic gets another key at the latest; None: when somebody rotates it."""

    name: str
    id: str
    requested: float
    rekey_by: float | None


def note(db: sa.Connection, realm: Realm, left: Left, wait_s: float | None) -> None:
    """These clients know the keys of these topics, and ``wait_s`` from now that is to end; None: whenever somebody rotates them.

    Who has left before counts from then on, and the first of all times is kept.
    """
    now = realm.clock()
    by = None if wait_s is None else now + wait_s
    names = {(row["id"], each["id"]): each["name"] for row, gone in left for each in gone}
    known = _known(db, names)
    same = {"requested": now, "rekey_by": by}
    new = [
        {**same, "topic": of, "client": who, "name": name}
        for (of, who), name in names.items()
        if (of, who) not in known
    ]
    if new:
        db.execute(sa.insert(departed), new)
    if by is not None:
        _SOONER(db, [{"of": of, "who": who, "by": by} for of, who in known])


def take(db: sa.Connection, topics: Collection[bytes]) -> dict[bytes, float]:
    """These topics get other keys: topic -> when the first who left was evicted, of those that somebody has left."""
    first: dict[bytes, float] = {}
    for portion in portions(topics):
        mine = departed.c.topic.in_(portion)
        asked = sa.select(departed.c.topic, sa.func.min(departed.c.requested)).where(mine).group_by(departed.c.topic)
        first.update((of, requested) for of, requested in db.execute(asked))
        db.execute(sa.delete(departed).where(mine))
    return first


def returned(db: sa.Connection, topic: bytes) -> None:
    """Who is a member again: the same devices, unless they were registered anew meanwhile."""
    db.execute(sa.delete(departed).where(departed.c.topic == topic, _IS_BACK))


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


def _known(db: sa.Connection, pairs: Iterable[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
    """Of these topics and clients, those that are noted already."""
    known: set[tuple[bytes, bytes]] = set()
    for portion in portions(pairs):
        topics, clients = ([*set(each)] for each in zip(*portion, strict=True))
        these = among(db, departed.c.topic, topics), among(db, departed.c.client, clients)
        found = {(of, who) for of, who in db.execute(sa.select(departed.c.topic, departed.c.client).where(*these))}
        known |= found.intersection(portion)
    return known
