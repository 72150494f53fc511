# SPDX-License-Identifier: Apache-2.0
"""The outbox: what devices are still to be brought to, written in the transaction of the change itself (rules 1 and 3).

A delivery names an object ("topic T", "public key of S"), not a content: the content is read, and every grant checked, when the
command is sealed. So a device that was away gets the present once, not the past thirty times.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import queueing
from e4c2.access.patterns import EVERY, Patterns
from e4c2.columns import among, portions
from e4c2.model import (
    OFF_RECORD,
    C2KeyState,
    Delivery,
    Kind,
    c2_key,
    client,
    link,
    membership,
    operation,
    outbox,
    topic,
)
from e4c2.queueing import ACTIVE, AT, NEXTS, PEERS, TOPICS
from e4c2.rows import Realm, Row
from e4c2.setwise import Given, Setwise
from e4core.errors import NotFound

_WAITING = (Delivery.PENDING.value,)
UNCONFIRMED = (Delivery.SENDING.value, Delivery.SENT.value)
OPEN = (*_WAITING, *UNCONFIRMED)
_NUMBERED = outbox.c.sequence.is_not(None)
"""Format 2, in which all devices report, be it after a year."""
TO_REPORTER = sa.or_(_NUMBERED, sa.exists().where(client.c.id == outbox.c.client, client.c.reports).correlate(outbox))
AWAITED = sa.and_(outbox.c.state == Delivery.SENT.value, TO_REPORTER)
"""Sent, and a device that reports is still to answer: who follows a change waits for it, and so does the event of its end."""
NO_OBJECT = bytes(16)
ARROW = " <- "
"""In the subject of an operation: who is to hold whose public key."""
_UNTOLD = ("catch_up", "catch_up_many")
"""What nobody has asked for, and a whole fleet may need at the same time."""
LOOKED_AFTER_S = 1.0
"""How soon somebody looks whether an operation is over."""
NO_OPERATION = "there is no such operation"
WAITS_AT_MOST_S = 3600
"""What is to wait for longer was ordered while the clock ran ahead."""
BATCH = 500
"""Commands sealed in one transaction."""
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One change, and how far its commands are; ``counts``: `Delivery` -> number of devices or more."""

    id: str
    kind: str
    subject: str
    created: float
    counts: dict[Delivery, int]
    awaited: int
    """Of those that are sent, how many a device that reports is still to answer."""


@dataclass(frozen=True, slots=True)
class Command:
    """One delivery, as operators see it."""

    id: int
    client: str
    kind: Kind
    object: str
    state: Delivery
    attempts: int
    created: float
    operation: str | None
    refusal: str | None


def begin(db: sa.Connection, realm: Realm, kind: str, subject: str) -> bytes:
    """A new operation, to which deliveries are then added; its id."""
    identity = os.urandom(16)
    now = realm.clock()
    look_at = None if kind in _UNTOLD else now + LOOKED_AFTER_S
    db.execute(sa.insert(operation).values(id=identity, kind=kind, subject=subject, created=now, look_at=look_at))
    return identity


def rename(db: sa.Connection, identity: bytes, kind: str) -> None:
    """The operation proved to be of another kind."""
    db.execute(sa.update(operation).where(operation.c.id == identity).values(kind=kind))


def count(db: sa.Connection, identity: bytes) -> Operation:
    """How far its commands are. Raises: NotFound."""
    row = require(db, identity)
    found = db.execute(_COUNTING, {"of": identity}).all()
    counts = off_record(row)
    for state, n, _ in found:
        counts[state] += int(n)
    awaited = sum(int(n) for *_, n in found)
    by_state = {Delivery(state): n for state, n in counts.items()}
    return Operation(identity.hex(), row["kind"], row["subject"], row["created"], by_state, awaited)


def off_record(row: Row) -> Counter[str]:
    """State -> how many commands of an operation left the record in it, as the devices have done the same anew."""
    # SQLite keeps whatever is written there
    return Counter({state.value: n for state in OFF_RECORD if isinstance(n := row[state.value], int) and n})


def require(db: sa.Connection, identity: bytes) -> Row:
    """The operation itself, without its commands. Raises: NotFound."""
    row = db.execute(_OPERATION, {"of": identity}).mappings().one_or_none()
    if row is None:
        raise NotFound(NO_OPERATION)
    return row


def is_text(name: str) -> bool:
    """False for what cannot be encoded, and so names nothing."""
    return not any("\ud800" <= c <= "\udfff" for c in name)


def parse_id(text: str) -> bytes:
    """16 bytes from hexadecimal digits. Raises: NotFound: anything else, as nothing has such an id."""
    if not _ID.fullmatch(text):
        raise NotFound(f"{text!r} is no id; ids have 32 hexadecimal digits")
    return bytes.fromhex(text)


def pause(first_s: float, longest_s: float, failures: int) -> float:
    """Seconds until the next try: ``first_s``, doubled with each failure, and never longer than ``longest_s``."""
    return min(first_s * 2.0 ** min(failures, 64), longest_s)


def page(
    db: sa.Connection,
    after: int = 0,
    limit: int = 100,
    client_name: str | None = None,
    state: str | None = None,
    clients: Patterns = EVERY,
    topics: Patterns = EVERY,
) -> list[Command]:
    """Deliveries by number, those after ``after`` to clients that are seen, of what is seen."""
    statement = sa.select(outbox, client.c.name).join(client, client.c.id == outbox.c.client).where(outbox.c.id > after)
    statement = statement.where(
        clients.where(client.c.name),
        _is_of((Kind.PEER,), client, clients),
        _is_of((Kind.TOPIC, Kind.NEXT), topic, topics),
    )
    if client_name is not None:
        statement = statement.where(client.c.name == client_name)
    if state is not None:
        statement = statement.where(outbox.c.state == state)
    return [_view(row) for row in db.execute(statement.order_by(outbox.c.id).limit(limit)).mappings()]


def _is_of(kinds: Collection[Kind], table: sa.Table, seen: Patterns) -> sa.ColumnElement[bool]:
    """Deliveries of other kinds, and those whose object is seen; what was removed is only seen by who sees all."""
    if seen.are_all:
        return sa.true()
    objects = table.alias()
    return sa.or_(
        outbox.c.kind.not_in([kind.value for kind in kinds]),
        outbox.c.object.in_(sa.select(objects.c.id).where(seen.where(objects.c.name))),
    )


def enqueue(
    db: sa.Connection,
    realm: Realm,
    operation_id: bytes | None,
    clients: Collection[bytes],
    kind: Kind,
    target: bytes = NO_OBJECT,
    *,
    purge: bool = False,
) -> None:
    """Bring ``target`` at each of ``clients`` to the present; what waits for the same takes one place (rule 3)."""
    parts = [client.c.id.in_(portion) for portion in portions(clients)]
    few = [outbox.c.client.in_(clients)] if len(parts) == 1 else []
    queueing.insert(db, realm, operation_id, AT[kind], parts, [outbox.c.object == target, *few], purge, target)


def enqueue_everyone(db: sa.Connection, realm: Realm, operation_id: bytes, kind: Kind) -> None:
    """The same for all active clients, in a handful of statements, of a kind that is about no object."""
    queueing.insert(db, realm, operation_id, AT[kind], [ACTIVE], target=NO_OBJECT)


def enqueue_members(
    db: sa.Connection, realm: Realm, operation_id: bytes, topics: Collection[bytes], *, purge: bool = False
) -> None:
    """Bring the topics at all their active members to the present: a handful of statements, however many they are."""
    parts = [membership.c.topic.in_(portion) for portion in portions(topics)]
    if parts:
        queueing.insert(db, realm, operation_id, TOPICS, parts, purge=purge)


def enqueue_next(db: sa.Connection, realm: Realm, operation_id: bytes, topic: bytes) -> None:
    """Bring the key that the topic is to have next to all its active members."""
    queueing.insert(db, realm, operation_id, NEXTS, [membership.c.topic == topic])


def enqueue_holders(
    db: sa.Connection,
    realm: Realm,
    operation_id: bytes | None,
    peers: Collection[bytes],
    *which: sa.ColumnElement[bool],
    purge: bool = False,
) -> None:
    """Bring the public keys of ``peers`` at all their active holders to the present, or at those of ``which`` links alone."""
    parts = [sa.and_(link.c.peer.in_(portion), *which) for portion in portions(peers)]
    queueing.insert(db, realm, operation_id, PEERS, parts, purge=purge)


def tell_c2_keys(db: sa.Connection, realm: Realm, rows: Collection[Row], operation_id: bytes | None = None) -> None:
    """Send the C2's newest key to clients that are not known to hold it."""
    given = c2_key.c.state != C2KeyState.ABORTED.value
    newest = db.scalar(sa.select(sa.func.max(c2_key.c.version)).where(given))
    behind = [row["id"] for row in rows if newest is not None and row["c2_key"] < newest]
    if behind:
        enqueue(db, realm, operation_id, behind, Kind.C2_KEY)


def close(
    db: sa.Connection,
    clients: Sequence[bytes],
    kinds: Collection[Kind],
    state: Delivery = Delivery.SUPERSEDED,
    *which: sa.ColumnElement[bool],
) -> None:
    """What is still open for these clients of these kinds has no purpose any more, or is known to be done."""
    of = [among(db, outbox.c.client, clients), outbox.c.kind.in_([k.value for k in kinds]), *which]
    db.execute(sa.update(outbox).where(*of, outbox.c.state.in_(OPEN)).values(state=state.value))


def requeue(db: sa.Connection, *which: sa.ColumnElement[bool]) -> None:
    """Send again what is lost or was interrupted, and with it all later deliveries of the same devices (rule 2).

    Of what is the same the newest will do (rule 3); it inherits the purge. A handful of statements, however many devices there are.
    """
    first = sa.select(outbox.c.client, sa.func.min(outbox.c.id)).where(_UNDONE, *which).group_by(outbox.c.client)
    # read beforehand, as the statements change what it is read from
    starts = [{"of": client_id, "start": from_id} for client_id, from_id in db.execute(first)]
    _AGAIN(db, starts)
    _INHERITING(db, starts)
    _COLLAPSING(db, starts)


def _is_any(of: sa.FromClause, states: Collection[str]) -> sa.ColumnElement[bool]:
    """As IN would, which a statement for many parameters may not have."""
    return sa.or_(*[of.c.state == state for state in states])


def _view(row: Row) -> Command:
    return Command(
        id=row["id"],
        client=row["name"],
        kind=Kind(row["kind"]),
        object=row["object"].hex(),
        state=Delivery(row["state"]),
        attempts=row["attempts"],
        created=row["created"],
        operation=row["operation"].hex() if row["operation"] else None,
        refusal=row["refusal"],
    )


def _from(make: Callable[[Given], sa.Update]) -> Setwise:
    """A change of the deliveries of a device ``of``, those from ``start`` on above all."""
    return Setwise({"of": outbox.c.client.type, "start": outbox.c.id.type}, make)


_OF = sa.bindparam("of", type_=sa.LargeBinary)
_OPERATION = sa.select(operation).where(operation.c.id == _OF)
_COUNTING = (
    sa.select(outbox.c.state, sa.func.count(), sa.func.sum(sa.case((AWAITED, 1), else_=0)))
    .where(outbox.c.operation == _OF)
    .group_by(outbox.c.state)
)
_LATER = outbox.alias("later")
_UNDONE, _IS_WAITING = _is_any(outbox, UNCONFIRMED), _is_any(outbox, _WAITING)
_SAME = [_LATER.c[name] == outbox.c[name] for name in ("client", "kind", "object")]
_AGAIN = _from(
    lambda of: (
        sa.update(outbox)
        .where(outbox.c.client == of["of"], outbox.c.id >= of["start"], _UNDONE)
        .values(state=Delivery.PENDING.value)
    )
)
_INHERITING = _from(
    lambda of: (
        sa.update(outbox)
        .where(
            outbox.c.client == of["of"],
            _IS_WAITING,
            sa.exists().where(
                *_SAME,
                _LATER.c.purge == sa.true(),
                sa.or_(_LATER.c.id >= of["start"], _is_any(_LATER, _WAITING)),
                _is_any(_LATER, OPEN),
            ),
        )
        .values(purge=True)
    )
)
_COLLAPSING = _from(
    lambda of: (
        sa.update(outbox)
        .where(
            outbox.c.client == of["of"],
            _IS_WAITING,
            sa.exists().where(*_SAME, _is_any(_LATER, _WAITING), _LATER.c.id > outbox.c.id),
        )
        .values(state=Delivery.SUPERSEDED.value)
    )
)
