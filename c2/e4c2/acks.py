# SPDX-License-Identifier: Apache-2.0
"""Format 1: what follows from a report (`format2.md` section 4).

The digest in a report does not show the previous key of a topic. So it proves no command that erases one: only its own ack does.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from e4c2 import commands, events, reports
from e4c2.commands import requeue
from e4c2.format import Opened
from e4c2.hearing import heard
from e4c2.model import Delivery, Kind, outbox
from e4c2.rows import Realm, Row
from e4core.report import Ack, Hello, Outcome

MAX_OUTDATED = 10
"""How often a command that came too late is sealed anew before it is given up; each try is a second later, from 5 s ago on."""
_TAG_LEN = 16
_DONE = (Outcome.APPLIED, Outcome.ALREADY)
_SHOWN = (Kind.TOPIC.value, Kind.PEER.value, Kind.RESET_PEERS.value, Kind.SYNC.value)
"""What the digest, or the answer itself, shows to be done."""


def answer(db: sa.Connection, realm: Realm, row: Row, opened: Opened) -> None:
    """What the device says beyond the key that it uses."""
    if isinstance(opened.content, Hello):
        reports.sync(db, realm, row, opened.content)
    elif isinstance(opened.content, Ack):
        _acknowledged(db, realm, row, opened.content, opened)


def answers(ack: Ack, undone: Sequence[Row], _sequence: Row | None) -> Sequence[Row] | None:
    """The one that ``ack`` is of, if any is; None if a former key was to be erased with it, as that has an ack of its own."""
    answered = _of(ack, undone)
    if answered is None:
        return ()
    return None if answered["purge_tags"] else (answered,)


def greets(_hello: Hello, _sequence: Row | None) -> float:
    """Any hello may be of long ago."""
    return reports.SYNC_EVERY_S


def _acknowledged(db: sa.Connection, realm: Realm, row: Row, ack: Ack, opened: Opened) -> None:
    """Only the ack of a command that is still unconfirmed is fresh, and says what the device holds now."""
    answered = _answered(db, row, ack)
    if answered is None:
        return
    heard(db, realm, [row])
    this = outbox.c.id == answered["id"]
    if ack.outcome in _DONE and ack.subject in _split(answered["purge_tags"]):
        db.execute(sa.update(outbox).where(this).values(purge_tags=b""))
        return
    state, refusal = _outcome(answered, ack)
    if state is Delivery.PENDING:
        requeue(db, this)
        return
    db.execute(sa.update(outbox).where(this).values(state=state.value, refusal=refusal))
    if state is Delivery.REFUSED:
        events.tell(db, realm, events.Kind.DELIVERY_REFUSED, client=row["name"], reason=refusal)
    if state is Delivery.CONFIRMED:
        realm.answered(answered["created"])
    if opened.column == "key":
        _requeue_lost_keys(db, row, answered, opened)
    newer = [outbox.c.client == row["id"], outbox.c.state.in_(commands.OPEN), outbox.c.id > answered["id"]]
    if db.scalar(sa.select(outbox.c.id).where(*newer).limit(1)) is None:
        _compare(db, realm, row, ack.digest)


def _requeue_lost_keys(db: sa.Connection, row: Row, answered: Row, opened: Opened) -> None:
    """A later command was answered under old keys: so the command that was to change them never arrived."""
    kinds = [Kind.ID_KEY.value] if row["pending_key"] is not None else []
    if opened.c2_version < opened.c2_newest:
        kinds.append(Kind.C2_KEY.value)
    if kinds:
        requeue(db, outbox.c.client == row["id"], outbox.c.kind.in_(kinds), outbox.c.id < answered["id"])


def _compare(db: sa.Connection, realm: Realm, row: Row, digest: bytes) -> None:
    """Nothing is under way: what the device holds is what it should hold, or it is brought there."""
    if not reports.holds(db, realm, row, digest):
        return
    mine, erases = outbox.c.client == row["id"], outbox.c.kind == Kind.RESET_TOPICS.value
    requeue(db, mine, sa.or_(erases, sa.func.length(outbox.c.purge_tags) > 0))
    proved = [outbox.c.kind.in_(_SHOWN), outbox.c.state.in_(commands.UNCONFIRMED)]
    db.execute(sa.update(outbox).where(mine, *proved).values(state=Delivery.CONFIRMED.value))


def _answered(db: sa.Connection, row: Row, ack: Ack) -> Row | None:
    statement = sa.select(outbox).where(outbox.c.client == row["id"], outbox.c.state.in_(commands.UNCONFIRMED))
    return _of(ack, db.execute(statement.order_by(outbox.c.id)).mappings().all())


def _of(ack: Ack, undone: Sequence[Row]) -> Row | None:
    """The unconfirmed one of these that ``ack`` is of; they come in the order of their ids."""
    unconfirmed = (row for row in undone if row["state"] in commands.UNCONFIRMED)
    tags = ((row, (*_split(row["tags"]), *_split(row["purge_tags"]))) for row in unconfirmed)
    return next((row for row, known in tags if ack.subject in known), None)


def _split(tags: bytes | None) -> list[bytes]:
    held = tags or b""
    return [held[i : i + _TAG_LEN] for i in range(0, len(held), _TAG_LEN)]


def _outcome(delivery: Row, ack: Ack) -> tuple[Delivery, str | None]:
    if ack.outcome in _DONE:
        if delivery["purge_tags"]:  # its first half was never answered: the key of before may still be there
            return Delivery.PENDING, None
        return Delivery.CONFIRMED, None
    if ack.outcome is Outcome.OUTDATED or ack.subject in _split(delivery["purge_tags"]):
        if delivery["attempts"] < MAX_OUTDATED:
            return Delivery.PENDING, None
        return Delivery.REFUSED, ack.refusal or "timestamp_old"
    if ack.refusal == "pubkey_missing":  # it was to be removed, and is not there
        return Delivery.CONFIRMED, None
    return Delivery.REFUSED, ack.refusal
