# SPDX-License-Identifier: Apache-2.0
"""Enrolment tokens: each lets so many devices enrol themselves, for a while, under names that fit a pattern, into some topics."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2.access import patterns
from e4c2.access.grants import Grant, Role
from e4c2.access.principal import Access
from e4c2.columns import portions
from e4c2.commands import parse_id
from e4c2.model import enrolment, topic
from e4c2.retention import KEPT_S
from e4c2.rows import Realm, Row, delete, find_all, find_by, find_ids, insert, only
from e4core.errors import Denied, InvalidInput, NotFound
from e4core.keys import Secret, check_client_name

PREFIX = "e4e_"
USES_MAX = 100_000
LIFETIME_MAX_S = 30 * 24 * 3600
TOPICS_MAX = 100
AGAIN_S = 24 * 3600
"""So long after it has expired a token is known still, to devices that did not hear that they were let in."""
_ID_LEN = 16


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What may be shown of an enrolment token; ``topics``: names of those that are left of what it was made for."""

    id: str
    name: str
    clients: str
    topics: tuple[str, ...]
    uses: int
    """How many devices it still lets in."""
    generation: int
    created: float
    expires: float

    @property
    def reach(self) -> tuple[Grant, ...]:
        """What it is over: whoever makes, sees or revokes it has a permission over all of that."""
        return (Grant(Role.ENROLLER, (self.clients,), self.topics),)


def create(
    db: sa.Connection, realm: Realm, name: str, clients: str, topic_names: Sequence[str], uses: int, lifetime_s: float
) -> tuple[Enrolment, Secret]:
    """A new enrolment token and its text, which is shown now and never again.

    Args: name: what it is for.  clients: an exact name, or a beginning of names that ends in ``*``.
    Raises: InvalidInput. NotFound: a topic.
    """
    check_client_name(name)
    patterns.check([clients])
    if not 1 <= uses <= USES_MAX:
        raise InvalidInput(f"an enrolment token is good for 1 to {USES_MAX} devices", kind="bad_enrolment")
    if not 0 < lifetime_s <= LIFETIME_MAX_S:
        raise InvalidInput(f"an enrolment token lives for {LIFETIME_MAX_S} s at most", kind="bad_enrolment")
    if len(topic_names) > TOPICS_MAX:
        raise InvalidInput(f"an enrolment token is for {TOPICS_MAX} topics at most", kind="bad_enrolment")
    ids = {row["name"]: row["id"] for row in find_ids(db, realm, topic, topic.c.name, topic_names)}
    for each in topic_names:
        if each not in ids:
            raise NotFound(f"there is no topic {each!r}")
    text = PREFIX + secrets.token_urlsafe(32)
    now = realm.clock()
    row = insert(
        db,
        realm,
        enrolment,
        id=os.urandom(16),
        name=name,
        lookup=realm.keyring.lookup(text.encode()),
        clients=clients,
        topics=b"".join(ids[each] for each in dict.fromkeys(topic_names)),
        uses=uses,
        expires=now + lifetime_s,
        created=now,
    )
    return _views(db, [row])[0], Secret(text.encode())


def page(
    db: sa.Connection, _realm: Realm, access: Access | None = None, after: str = "", limit: int = 100
) -> list[Enrolment]:
    """Enrolment tokens by id, those after ``after`` (hexadecimal); only those that ``access`` reaches."""
    found: list[Enrolment] = []
    last = parse_id(after) if after else b""
    while len(found) < limit:
        where = sa.select(enrolment).where(enrolment.c.id > last).order_by(enrolment.c.id).limit(limit)
        rows = db.execute(where).mappings().all()
        seen = [each for each in _views(db, rows) if access is None or access.reaches(each.reach)]
        found += seen[: limit - len(found)]
        if len(rows) < limit:
            break
        last = rows[-1]["id"]
    return found


def show(db: sa.Connection, realm: Realm, identity: str) -> Enrolment:
    """Raises: NotFound."""
    return _views(db, [require(db, realm, identity)])[0]


def revoke(db: sa.Connection, realm: Realm, identity: str) -> None:
    """Nobody is let in by it any more. Raises: NotFound."""
    delete(db, realm, enrolment, require(db, realm, identity))


def revoke_all(db: sa.Connection, realm: Realm) -> None:
    """No device is let in any more."""
    delete(db, realm, enrolment, *find_all(db, realm, enrolment))


def authenticate(db: sa.Connection, realm: Realm, text: str) -> Enrolment:
    """Raises: Denied: no such token. One that is used up, or expired for less than `AGAIN_S`, is known still (`newcomers`)."""
    # the look-up is by a keyed hash, so its timing tells nothing about the text
    row = only(enrolment, find_ids(db, realm, enrolment, enrolment.c.lookup, realm.keyring.lookups(text.encode())))
    if row is None:
        raise Denied(NOT_VALID, kind="unauthenticated")
    return _known(realm, _views(db, [row])[0])


def again(db: sa.Connection, realm: Realm, identity: str) -> Enrolment:
    """Of who was let in a while ago. Raises: Denied: revoked meanwhile."""
    try:
        return _known(realm, show(db, realm, identity))
    except NotFound:
        raise Denied(NOT_VALID, kind="unauthenticated") from None


def _known(realm: Realm, shown: Enrolment) -> Enrolment:
    if shown.expires <= realm.clock() - AGAIN_S:
        raise Denied(NOT_VALID, kind="unauthenticated")
    return shown


def require(db: sa.Connection, realm: Realm, identity: str) -> Row:
    """Raises: NotFound. Tampered."""
    row = find_by(db, realm, enrolment, enrolment.c.id, parse_id(identity))
    if row is None:
        raise NotFound(there_is_none(identity))
    return row


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take off the record what has long been expired."""
    if rows := find_all(db, realm, enrolment, enrolment.c.expires < realm.clock() - KEPT_S):
        with db.begin_nested():  # what is deleted leaves the ledger too, or it stays
            delete(db, realm, enrolment, *rows)


def there_is_none(identity: str) -> str:
    return f"there is no enrolment token {identity}"


def topic_ids(row: Row) -> list[bytes]:
    return [row["topics"][start : start + _ID_LEN] for start in range(0, len(row["topics"]), _ID_LEN)]


NOT_VALID = "this enrolment token is not valid; ask for a new one"


def _views(db: sa.Connection, rows: Sequence[Row]) -> list[Enrolment]:
    names = _names(db, {each for row in rows for each in topic_ids(row)})
    return [
        Enrolment(
            id=row["id"].hex(),
            name=row["name"],
            clients=row["clients"],
            topics=tuple(names[each] for each in topic_ids(row) if each in names),
            uses=row["uses"],
            generation=row["generation"],
            created=row["created"],
            expires=row["expires"],
        )
        for row in rows
    ]


def _names(db: sa.Connection, ids: Collection[bytes]) -> dict[bytes, str]:
    columns = sa.select(topic.c.id, topic.c.name)
    return {of: name for portion in portions(ids) for of, name in db.execute(columns.where(topic.c.id.in_(portion)))}
