# SPDX-License-Identifier: Apache-2.0
"""Tokens: who may speak to the API. 256 random bits, stored only as a keyed hash, shown once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import events
from e4c2.access import grants as granting
from e4c2.access.grants import Grant
from e4c2.access.principal import Access
from e4c2.commands import parse_id
from e4c2.model import token
from e4c2.retention import KEPT_S
from e4c2.rows import Realm, Row, delete, find_all, find_by, find_ids, insert, only
from e4core.errors import Denied, NotFound
from e4core.keys import Secret, check_client_name

PREFIX = "e4_"
NEEDED = "this needs a valid token: Authorization: Bearer e4_..."


@dataclass(frozen=True, slots=True)
class Token:
    """What may be shown of a token; ``expires`` None: never."""

    id: str
    name: str
    created: float
    expires: float | None
    grants: tuple[Grant, ...]
    generation: int


def create(
    db: sa.Connection, realm: Realm, name: str, lifetime_s: float | None = None, grants: Sequence[Grant] = ()
) -> tuple[Token, Secret]:
    """A new token and its text, which is shown now and never again; without grants it is known, and may do nothing."""
    check_client_name(name)
    text = PREFIX + secrets.token_urlsafe(32)
    now = realm.clock()
    row = insert(
        db,
        realm,
        token,
        id=os.urandom(16),
        name=name,
        lookup=realm.keyring.lookup(text.encode()),
        expires=None if lifetime_s is None else now + lifetime_s,
        grants=granting.dump(grants),
        created=now,
    )
    events.tell(db, realm, events.Kind.TOKEN_MADE, token=row["id"].hex(), name=name)
    return _view(row), Secret(text.encode())


def page(
    db: sa.Connection, realm: Realm, access: Access | None = None, after: str = "", limit: int = 100
) -> list[Token]:
    """Tokens by id, those after ``after`` (hexadecimal); only those that ``access`` reaches."""
    found: list[Token] = []
    last = parse_id(after) if after else b""
    while len(found) < limit:
        rows = db.execute(sa.select(token).where(token.c.id > last).order_by(token.c.id).limit(limit)).mappings().all()
        seen = [each for each in map(_view, rows) if access is None or access.reaches(each.grants)]
        found += seen[: limit - len(found)]
        if len(rows) < limit:
            break
        last = rows[-1]["id"]
    return found


def show(db: sa.Connection, realm: Realm, identity: str) -> Token:
    """Raises: NotFound."""
    row = find_by(db, realm, token, token.c.id, parse_id(identity))
    if row is None:
        raise NotFound(there_is_none(identity))
    return _view(row)


def revoke(db: sa.Connection, realm: Realm, identity: str) -> None:
    """Raises: NotFound."""
    row = find_by(db, realm, token, token.c.id, parse_id(identity))
    if row is None:
        raise NotFound(there_is_none(identity))
    delete(db, realm, token, row)
    events.tell(db, realm, events.Kind.TOKEN_REVOKED, token=identity, name=row["name"])


def revoke_all(db: sa.Connection, realm: Realm) -> None:
    """Nobody is let in any more."""
    delete(db, realm, token, *find_all(db, realm, token))


def authenticate(db: sa.Connection, realm: Realm, text: str) -> Token:
    """Raises: Denied: no such token, or expired; which of them is not told."""
    # the look-up is by a keyed hash, so its timing tells nothing about the text
    lookups = realm.keyring.lookups(text.encode(errors="surrogatepass"))
    row = only(token, find_ids(db, realm, token, token.c.lookup, lookups))
    if row is None or (row["expires"] is not None and row["expires"] <= realm.clock()):
        raise Denied(NEEDED, kind="unauthenticated")
    return _view(row)


def again(db: sa.Connection, realm: Realm, identity: str) -> Token:
    """A token that was valid a while ago. Raises: Denied: it was revoked, or has expired."""
    row = find_by(db, realm, token, token.c.id, parse_id(identity))
    if row is None or (row["expires"] is not None and row["expires"] <= realm.clock()):
        raise Denied("this token is valid no more", kind="unauthenticated")
    return _view(row)


def is_any_valid(db: sa.Connection, realm: Realm) -> bool:
    """Whether anybody may speak to the API."""
    valid = sa.or_(token.c.expires.is_(None), token.c.expires > realm.clock())
    return db.scalar(sa.select(token.c.id).where(valid).limit(1)) is not None


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take off the record what has long been expired; not at once, for a clock that ran ahead must not cost anybody a token."""
    if rows := find_all(db, realm, token, token.c.expires < realm.clock() - KEPT_S):
        with db.begin_nested():  # what is deleted leaves the ledger too, or it stays
            delete(db, realm, token, *rows)


def there_is_none(identity: str) -> str:
    return f"there is no token {identity}"


def _view(row: Row) -> Token:
    stored = row["grants"]
    grants = granting.WHOLE if stored is None else granting.load(stored)
    return Token(row["id"].hex(), row["name"], row["created"], row["expires"], grants, row["generation"])
