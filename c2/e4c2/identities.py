# SPDX-License-Identifier: Apache-2.0
"""Identities: what those may do whom an issuer or a CA vouches for. Nobody is let in by their word alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2.access import grants as granting
from e4c2.access.grants import Grant
from e4c2.access.marks import FoundBy, Mark, Shown
from e4c2.access.principal import Access, Principal
from e4c2.commands import parse_id
from e4c2.model import identity
from e4c2.rows import Realm, Row, delete, find_all, find_by, find_ids, insert
from e4core.errors import Denied, NotFound
from e4core.keys import check_client_name


@dataclass(frozen=True, slots=True)
class Identity:
    """``issuer`` None: of a certificate."""

    id: str
    name: str
    found_by: FoundBy
    issuer: str | None
    value: str
    created: float
    grants: tuple[Grant, ...]
    generation: int


def create(db: sa.Connection, realm: Realm, name: str, mark: Mark, grants: Sequence[Grant] = ()) -> Identity:
    """From now on who is known by ``mark`` may do this. Raises: InvalidInput. Conflict: there is one for it."""
    check_client_name(name)
    row = insert(
        db,
        realm,
        identity,
        id=os.urandom(16),
        name=name,
        found_by=mark.found_by.value,
        issuer=mark.issuer,
        value=mark.value,
        lookup=mark.lookup,
        grants=granting.dump(grants),
        created=realm.clock(),
    )
    return _view(row)


def page(
    db: sa.Connection, realm: Realm, access: Access | None = None, after: str = "", limit: int = 100
) -> list[Identity]:
    """Identities by id, those after ``after`` (hexadecimal); only those that ``access`` reaches."""
    found: list[Identity] = []
    last = parse_id(after) if after else b""
    while len(found) < limit:
        listed = sa.select(identity).where(identity.c.id > last).order_by(identity.c.id).limit(limit)
        rows = db.execute(listed).mappings().all()
        seen = [each for each in map(_view, rows) if access is None or access.reaches(each.grants)]
        found += seen[: limit - len(found)]
        if len(rows) < limit:
            break
        last = rows[-1]["id"]
    return found


def show(db: sa.Connection, realm: Realm, of: str) -> Identity:
    """Raises: NotFound."""
    return _view(_require(db, realm, of))


def remove(db: sa.Connection, realm: Realm, of: str) -> None:
    """Whoever it names may do nothing by it any more, at once. Raises: NotFound."""
    delete(db, realm, identity, _require(db, realm, of))


def remove_all(db: sa.Connection, realm: Realm) -> None:
    """Nobody is let in by anybody's word any more."""
    delete(db, realm, identity, *find_all(db, realm, identity))


def authenticate(db: sa.Connection, realm: Realm, shown: Shown) -> Principal:
    """Who that is, with the grants of all identities that name them. Raises: Denied (``unauthenticated``): none does."""
    if shown.until <= realm.clock():
        raise Denied(f"this {_CALLED[shown.kind]} has expired; show a new one", kind="unauthenticated")
    named = find_ids(db, realm, identity, identity.c.lookup, [mark.lookup for mark in shown.marks])
    if not named:
        text = f"no identity of this C2 names this {_CALLED[shown.kind]}; somebody adds it with: e4 identity create"
        raise Denied(text, kind="unauthenticated")
    rows = sorted(named, key=lambda row: (row["found_by"] == FoundBy.GROUP, row["id"]))
    of_all = [grant for row in rows for grant in granting.load(row["grants"])]
    # a group has many members: each goes by a name of their own
    name = shown.name if rows[0]["found_by"] == FoundBy.GROUP else rows[0]["name"]
    who = shown.id or rows[0]["id"].hex()
    return Principal(shown.kind, who, name, tuple(dict.fromkeys(of_all)), shown)


def there_is_none(of: str) -> str:
    return f"there is no identity {of}"


_CALLED = {"oidc": "token of an issuer", "certificate": "certificate"}


def _require(db: sa.Connection, realm: Realm, of: str) -> Row:
    row = find_by(db, realm, identity, identity.c.id, parse_id(of))
    if row is None:
        raise NotFound(there_is_none(of))
    return row


def _view(row: Row) -> Identity:
    return Identity(
        id=row["id"].hex(),
        name=row["name"],
        found_by=FoundBy(row["found_by"]),
        issuer=row["issuer"] or None,
        value=row["value"],
        created=row["created"],
        grants=granting.load(row["grants"]),
        generation=row["generation"],
    )
