# SPDX-License-Identifier: Apache-2.0
"""Webhooks: who is told of events over HTTP, and how far each has been told.

Where events go is under the MAC of the row; how far they went is not, as at worst some come twice.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from e4c2.audit import chain
from e4c2.audit.records import OWN
from e4c2.commands import is_text, parse_id
from e4c2.events import log, posting, signing
from e4c2.events.log import tell
from e4c2.model import EventKind, webhook
from e4c2.rows import Realm, Row, checked, delete, find_all, find_by, insert, reveal, typed, update
from e4core.errors import InvalidInput, NotFound
from e4core.keys import Secret, check_client_name

FAILURE_MAX = 255


@dataclass(frozen=True, slots=True)
class Webhook:
    """What may be shown of a webhook; ``kinds`` empty: all."""

    id: str
    name: str
    url: str
    kinds: list[str]
    created: float
    state: Literal["active", "failing", "paused"]
    """Of one that is paused nothing is sent until it is resumed."""
    failure: str | None
    failing_since: float | None
    next_try: float | None
    cursor: int
    """The last event that was received there, or is not for it."""
    generation: int
    """Counts its changes, but for how far it is and whether it fails."""


def create(
    db: sa.Connection, realm: Realm, name: str, url: str, kinds: Collection[EventKind] = ()
) -> tuple[Webhook, Secret]:
    """A new webhook, told what happens from now on; and its secret, which is shown now and never again.

    Raises: InvalidInput. Conflict: the name is taken.
    """
    check_client_name(name)
    posting.target(url)
    secret = signing.secret()
    row = insert(
        db,
        realm,
        webhook,
        id=os.urandom(16),
        name=name,
        url=url,
        kinds=_joined(kinds),
        secret=secret,
        created=realm.clock(),
        cursor=log.newest(db),
        holder=None,
        not_before=0.0,
        attempts=0,
        failing_since=None,
        failure=None,
        paused=None,
    )
    return view(row), secret


def page(db: sa.Connection, realm: Realm, after: str = "", limit: int = 100) -> list[Webhook]:
    """Webhooks by name, those after ``after``. Raises: Tampered."""
    statement = sa.select(webhook).where(webhook.c.name > after).order_by(webhook.c.name).limit(limit)
    return [view(typed(webhook, row)) for row in checked(db, realm, webhook, statement)]


def show(db: sa.Connection, realm: Realm, identity: str) -> Webhook:
    """Raises: NotFound. Tampered."""
    return view(require(db, realm, identity))


def change(
    db: sa.Connection, realm: Realm, identity: str, url: str | None = None, kinds: Collection[EventKind] | None = None
) -> Webhook:
    """Send to another place, or other kinds; None: as before. Raises: NotFound. InvalidInput."""
    row = require(db, realm, identity)
    if url is not None:
        posting.target(url)
    asked = {"url": url, "kinds": None if kinds is None else _joined(kinds)}
    changes = {name: new for name, new in asked.items() if new not in (None, row[name])}
    return view(update(db, realm, webhook, row, **changes) if changes else row)


def resume(db: sa.Connection, realm: Realm, identity: str) -> Webhook:
    """Try at once, from where it stopped; what is kept no more is left out. Raises: NotFound."""
    row = require(db, realm, identity)
    fresh = {"paused": None, "failing_since": None, "failure": None, "attempts": 0, "not_before": 0.0}
    db.execute(sa.update(webhook).where(webhook.c.id == row["id"]).values(**fresh))
    return view({**row, **fresh})


def remove(db: sa.Connection, realm: Realm, identity: str) -> None:
    """Raises: NotFound."""
    delete(db, realm, webhook, require(db, realm, identity))


def secret_of(db: sa.Connection, realm: Realm, identity: str) -> tuple[Webhook, Secret]:
    """To send a test. Raises: NotFound. Tampered."""
    row = require(db, realm, identity)
    return view(row), reveal(realm, webhook, row, "secret")


def pause(db: sa.Connection, realm: Realm, row: Row, why: str) -> None:
    """Send nothing more until an operator says so, and tell that."""
    db.execute(sa.update(webhook).where(webhook.c.id == row["id"]).values(paused=realm.clock(), failure=why))
    tell(db, realm, EventKind.WEBHOOK_PAUSED, webhook=row["name"], failure=why)
    chain.append(db, realm, OWN.step("webhook_paused", f"webhook:{row['id'].hex()}"))


def pause_all(db: sa.Connection, realm: Realm, why: str) -> None:
    """As `pause`, all that are not paused. Raises: Tampered."""
    for row in find_all(db, realm, webhook, webhook.c.paused.is_(None)):
        pause(db, realm, row, why)


def require(db: sa.Connection, realm: Realm, identity: str) -> Row:
    """Raises: NotFound. Tampered."""
    row = find_by(db, realm, webhook, webhook.c.id, parse_id(identity)) if is_text(identity) else None
    if row is None:
        raise NotFound(f"there is no webhook with the id {identity!r}")
    return typed(webhook, row)


def kinds_of(row: Row) -> list[EventKind]:
    """Empty: all."""
    return [EventKind(kind) for kind in row["kinds"].split()]


def view(row: Row) -> Webhook:
    failing = row["failing_since"] is not None
    return Webhook(
        id=row["id"].hex(),
        name=row["name"],
        url=row["url"],
        kinds=row["kinds"].split(),
        created=row["created"],
        state="paused" if row["paused"] is not None else "failing" if failing else "active",
        failure=row["failure"],
        failing_since=row["failing_since"],
        next_try=row["not_before"] if failing and row["paused"] is None else None,
        cursor=row["cursor"],
        generation=row["generation"],
    )


def _joined(kinds: Collection[EventKind]) -> str:
    if len(set(kinds)) != len(kinds):
        raise InvalidInput("name each kind of events once")
    return " ".join(kinds)
