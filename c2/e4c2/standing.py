# SPDX-License-Identifier: Apache-2.0
"""Where topics and devices stand with their keys: what operators look at before, during and after a change."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import sqlalchemy as sa

from e4c2 import changes, clients, departures, epochs, holdings, topics
from e4c2.access.patterns import EVERY, Patterns
from e4c2.changes import Change, TimeToRevoke
from e4c2.departures import Departed
from e4c2.holdings import Holding, Laggard
from e4c2.model import Delivery, Kind, client, outbox
from e4c2.queueing import ACTIVE
from e4c2.rows import Realm
from e4c2.topics import Topic


@dataclass(frozen=True, slots=True)
class Standing(Topic):
    """A topic, and where its members are: of ``members``, those who have ``confirmed`` its present key, and the rest."""

    epoch: int | None
    """Number of the key in use; None in Format 1."""
    confirmed: int
    sent: int
    """That never report, and were sent it."""
    behind: int
    suspended: int
    evicted: int
    """Who are no members any more, and still know the key."""
    time_to_revoke: TimeToRevoke


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A device that is to get another key; ``begun``, ``age_s``, ``state``: of the command, None if it is off the record."""

    name: str
    id: str
    reports: bool
    begun: float | None
    age_s: float | None
    state: Delivery | None
    refusal: str | None
    offered: bool
    """True: in suites where devices make their keys, this one has."""


def create(db: sa.Connection, realm: Realm, name: str) -> Standing:
    """A topic as it is `show`n from now on. Raises: as `topics.create`."""
    topics.create(db, realm, name)
    return show(db, realm, name)


def aim(db: sa.Connection, realm: Realm, name: str, revoke_within_s: float | None) -> Standing:
    """Raises: as `topics.aim`."""
    topics.aim(db, realm, name, revoke_within_s)
    return show(db, realm, name)


def show(db: sa.Connection, realm: Realm, name: str) -> Standing:
    """Raises: NotFound. Tampered."""
    row = topics.require(db, realm, name)
    epoch = epochs.of(db, realm, [row["id"]]).get(row["id"])
    return Standing(
        **asdict(topics.shown(db, row)),
        **asdict(holdings.count(db, realm, row["id"])),
        epoch=epoch.number if epoch else None,
        evicted=departures.count(db, row["id"]),
        time_to_revoke=changes.time_to_revoke(db, realm, row),
    )


def laggards(
    db: sa.Connection, realm: Realm, name: str, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[Laggard]:
    """Members that are not known to have the present key, by name. Raises: NotFound."""
    return holdings.laggards(db, realm, topics.require(db, realm, name)["id"], after, limit, seen)


def evicted(
    db: sa.Connection, realm: Realm, name: str, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[Departed]:
    """Who was evicted and still knows the key, by name. Raises: NotFound."""
    return departures.page(db, topics.require(db, realm, name)["id"], after, limit, seen)


def history(db: sa.Connection, realm: Realm, name: str, before: int = 0, limit: int = 100) -> list[Change]:
    """The keys that a topic got, the newest first. Raises: NotFound."""
    return changes.page(db, topics.require(db, realm, name)["id"], before, limit)


def held_by(
    db: sa.Connection, realm: Realm, name: str, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[Holding]:
    """Of the topics of a client, by name: whether it has their present keys. Raises: NotFound."""
    return holdings.of_client(db, realm, clients.require(db, realm, name)["id"], after, limit, seen)


def key_changes(
    db: sa.Connection, realm: Realm, after: str = "", limit: int = 100, seen: Patterns = EVERY
) -> list[KeyChange]:
    """Devices that are to get another key and have not confirmed it, by name."""
    last = sa.select(sa.func.max(outbox.c.id)).where(outbox.c.client == client.c.id, outbox.c.kind == Kind.ID_KEY.value)
    newest = outbox.alias("newest")
    wanted = (client.c.name, client.c.id, client.c.reports, client.c.pending_key.is_not(None))
    is_last = newest.c.id == last.correlate(client).scalar_subquery()
    joined = client.outerjoin(newest, sa.and_(newest.c.client == client.c.id, is_last))
    mine = sa.select(*wanted, newest.c.created, newest.c.state, newest.c.refusal).select_from(joined)
    under_way = [ACTIVE, client.c.pending_private.is_not(None), client.c.name > after]
    under_way.append(seen.where(client.c.name))
    now = realm.clock()
    return [
        KeyChange(
            name=name,
            id=identity.hex(),
            reports=bool(reports),
            begun=begun,
            age_s=None if begun is None else max(now - begun, 0.0),
            state=None if state is None else Delivery(state),
            refusal=refusal,
            offered=bool(has_key) and realm.format.all_report and not realm.suite.is_symmetric,
        )
        for name, identity, reports, has_key, begun, state, refusal in db.execute(
            mine.where(*under_way).order_by(client.c.name).limit(limit)
        )
    ]
