# SPDX-License-Identifier: Apache-2.0
"""Format 2: what follows from a report (`format2.md` section 4).

Only the first ack of a command that was really sent is fresh; a hello or an offer may be of long ago. So from a hello follows a
Sync, and that no sequence is used that the device knows already; from an offer, that the device has these keys.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import sqlalchemy as sa

from e4c2 import commands, events, reports, sequences
from e4c2.commands import requeue
from e4c2.format import Opened
from e4c2.hearing import heard
from e4c2.model import Delivery, Kind, Status, client, link, outbox
from e4c2.rows import Realm, Row, find_ids, reveal, update
from e4core import report
from e4core.errors import Conflict, InFuture, InvalidInput, Replayed, UnsupportedSuite
from e4core.keys import ClientId
from e4core.report import Ack, Hello, Offer, Outcome

log = logging.getLogger(__name__)

AHEAD_S = 24 * 3600
"""How far ahead of the clock a sequence may be that a device claims to know, and the C2 does not."""
FRESH_EVERY_S = 1
"""A hello that names the newest command of all was said after it, and is soon answered whatever was answered before."""
_KEYS = (Kind.ID_KEY.value, Kind.C2_KEY.value)
"""What is confirmed by nothing but a report under the new key."""
_REFUSABLE = (Kind.TOPIC.value, Kind.NEXT.value, Kind.PEER.value)
"""Beside keys, what a device may have refused a command for."""


def answer(db: sa.Connection, realm: Realm, row: Row, opened: Opened) -> None:
    """What the device says beyond the key that it uses.

    Raises: InFuture: it claims to know a command that cannot have been sent yet. Replayed, Conflict, InvalidInput,
    AuthenticationFailed, UnsupportedSuite: an offer. InvalidInput: an ack of Format 1.
    """
    content = opened.content
    held = sequences.of(db, realm, row["id"])
    taken, confirmed = (held["last"], held["confirmed"]) if held else (0, 0)
    _check_sequence(db, realm, row, content.last_sequence, taken)
    match content:
        case Hello():
            _greeted(db, realm, row, content, taken, confirmed)
        case Ack():
            _acknowledged(db, realm, row, content)
        case Offer():
            _offered(db, realm, row, content)
    if opened.news:
        # the device forgets the former key when a command opens under the new one
        commands.enqueue(db, realm, None, [row["id"]], Kind.SWITCH)


def answers(ack: Ack, undone: Sequence[Row], sequence: Row | None) -> Sequence[Row] | None:
    """All of them, if ``ack`` is of the command that carried whatever is unconfirmed; none, if it is of one that was replaced."""
    number = int.from_bytes(ack.subject[:8], "little")
    is_sent = sequence is not None and max(ack.last_sequence, number) <= sequence["last"]
    if not is_sent or ack.subject != report.subject(number):
        return None
    carried = [row for row in undone if row["sequence"] == number]
    if not carried:
        return ()
    is_all = len(carried) == len(undone) and all(row["state"] in commands.UNCONFIRMED for row in undone)
    return undone if is_all else None


def greets(hello: Hello, sequence: Row | None) -> float | None:
    """How soon after the last one, unless the device has forgotten what it confirmed, or knows what this C2 does not."""
    taken, confirmed = (sequence["last"], sequence["confirmed"]) if sequence else (0, 0)
    if not confirmed <= hello.last_sequence <= taken:
        return None
    return FRESH_EVERY_S if hello.last_sequence >= taken else reports.SYNC_EVERY_S


def _check_sequence(db: sa.Connection, realm: Realm, row: Row, known: int, taken: int) -> None:
    """An old report names a sequence that the device did know, so to go on after it is right at any time."""
    if known <= taken:  # of a later day too: this C2's clock was ahead when it sealed that
        return
    if known > (realm.clock() + AHEAD_S) * sequences.PER_SECOND:
        raise InFuture(f"{row['name']} claims to know a command of a later day; check the clocks")
    log.error(
        "%s knows a command that this C2 does not: the database was restored, or is not the only one; commands go on after it",
        row["name"],
    )
    sequences.go_on_after(db, realm, row["id"], known)


def _greeted(db: sa.Connection, realm: Realm, row: Row, hello: Hello, taken: int, confirmed: int) -> None:
    """The ack of the Sync will say what the device holds.

    Whoever records hellos has each answered once, and keeps none waiting that the device says now.
    """
    syncs = [outbox.c.client == row["id"], outbox.c.kind == Kind.SYNC.value]
    forgot = hello.last_sequence < confirmed
    if _exists(db, *syncs, outbox.c.object == hello.nonce):
        return
    if forgot and _exists(db, *syncs, outbox.c.state == Delivery.PENDING.value):
        return
    every_s = FRESH_EVERY_S if hello.last_sequence >= taken else reports.SYNC_EVERY_S
    if reports.sync(db, realm, row, hello, every_s) and forgot:
        log.warning("%s has forgotten what it confirmed: it was restored, or its hello is an old one", row["name"])


def _acknowledged(db: sa.Connection, realm: Realm, row: Row, ack: Ack) -> None:
    """The command that is unconfirmed carries all that was to be done, so the digest after it says what the device holds."""
    if ack.outcome is Outcome.OUTDATED:
        raise InvalidInput("an ack with an outcome of Format 1", kind="bad_report")
    sequence = int.from_bytes(ack.subject[:8], "little")
    mine = [outbox.c.client == row["id"], outbox.c.state.in_(commands.UNCONFIRMED)]
    these = [*mine, outbox.c.sequence == sequence]
    held = sequences.of(db, realm, row["id"])
    # never sent, and may be more than the database can compare with
    if held is None or sequence > held["last"] or ack.subject != report.subject(sequence):
        return
    expired = [outbox.c.client == row["id"], outbox.c.state == Delivery.EXPIRED.value, outbox.c.sequence == sequence]
    db.execute(sa.update(outbox).where(*expired).values(state=Delivery.SENT.value))  # it is answered all the same
    ordered = db.scalar(sa.select(sa.func.min(outbox.c.created)).where(*these))
    if ordered is None:
        return
    heard(db, realm, [row])
    sequences.confirm(db, realm, held, sequence)
    _release(db, row, sequence)
    if ack.refusal == "pubkey_missing":
        _send_the_rest(db, realm, row, these)
    elif ack.outcome is Outcome.REFUSED:
        _refuse(db, these, ack.refusal)
        events.tell(db, realm, events.Kind.DELIVERY_REFUSED, client=row["name"], reason=ack.refusal)
    elif ack.outcome is Outcome.APPLIED:
        _confirm(db, these)
        realm.answered(ordered)
    waits, elsewhere = outbox.c.state == Delivery.PENDING.value, outbox.c.sequence != sequence
    undone = [outbox.c.client == row["id"], outbox.c.state.in_(commands.OPEN), outbox.c.kind.not_in(_KEYS)]
    if not _exists(db, *undone, sa.or_(waits, elsewhere)):
        _compare(db, realm, row, ack, these)
    if ack.outcome is Outcome.REFUSED and _exists(db, *undone, waits):
        _keep_apart(db, realm, row, sequence)


def _compare(db: sa.Connection, realm: Realm, row: Row, ack: Ack, these: list[sa.ColumnElement[bool]]) -> None:
    """Nothing else is under way: what the device holds is what it should hold, or it is brought there."""
    match reports.holds(db, realm, row, ack.digest), ack.outcome:
        case True, Outcome.ALREADY:  # applied or refused, its digest alone can tell
            _confirm(db, these)
        case False, Outcome.APPLIED:
            log.error("%s does not hold what it has confirmed: it was restored; it is caught up", row["name"])


def _release(db: sa.Connection, row: Row, sequence: int) -> None:
    """What found no room in this command, or in the one whose place it took, is to wait no longer."""
    left = [outbox.c.client == row["id"], outbox.c.state == Delivery.PENDING.value, outbox.c.sequence <= sequence]
    db.execute(sa.update(outbox).where(*left).values(not_before=0.0))


def _confirm(db: sa.Connection, these: list[sa.ColumnElement[bool]]) -> None:
    shown = [*these, outbox.c.kind.not_in(_KEYS)]
    db.execute(sa.update(outbox).where(*shown).values(state=Delivery.CONFIRMED.value))


def _refuse(db: sa.Connection, these: list[sa.ColumnElement[bool]], refusal: str) -> None:
    """Nothing of it was done. A change of keys is given up only if nothing else can be meant; else it is sent again."""
    refused = {"state": Delivery.REFUSED.value, "refusal": refusal}
    others = [outbox.c.kind.not_in(_KEYS)] if _exists(db, *these, outbox.c.kind.in_(_REFUSABLE)) else []
    db.execute(sa.update(outbox).where(*these, *others).values(**refused))
    requeue(db, *these)


def _keep_apart(db: sa.Connection, realm: Realm, row: Row, sequence: int) -> None:
    """What is sent again goes when the device has answered what now waits for it (`_release`): should it be refused for the
    change of keys, it then is for that alone."""
    keys = [outbox.c.client == row["id"], outbox.c.state == Delivery.PENDING.value, outbox.c.kind.in_(_KEYS)]
    at = int(realm.clock()) + commands.WAITS_AT_MOST_S
    db.execute(sa.update(outbox).where(*keys).values(not_before=at, sequence=sequence))


def _send_the_rest(db: sa.Connection, realm: Realm, row: Row, these: list[sa.ColumnElement[bool]]) -> None:
    """What was to be removed is not there, and nothing else was done for it."""
    peers = [*these, outbox.c.kind == Kind.PEER.value]
    named = set(db.scalars(sa.select(outbox.c.object).where(*peers)))
    linked = find_ids(db, realm, link, link.c.peer, named, link.c.holder == row["id"])
    held = find_ids(db, realm, client, client.c.id, [each["peer"] for each in linked])
    gone = named - {each["id"] for each in held if each["status"] == Status.ACTIVE}
    removed = [*peers, outbox.c.object.in_(gone)]
    done = (
        {"state": Delivery.CONFIRMED.value} if gone else {"state": Delivery.REFUSED.value, "refusal": "pubkey_missing"}
    )
    db.execute(sa.update(outbox).where(*(removed if gone else these)).values(**done))
    requeue(db, *these)


def _offered(db: sa.Connection, realm: Realm, row: Row, offer: Offer) -> None:
    """The keys that the device has made are pending; all that is sent from now on opens under them, and under the old ones."""
    if realm.suite.is_symmetric:
        raise UnsupportedSuite(f"no device offers keys in the suite {realm.suite.name}")
    if row["pending_private"] is None or reveal(realm, client, row, "pending_private") != offer.nonce:
        raise Replayed(f"{row['name']} offers keys that it was not asked for")
    report.check_offer(realm.suite, ClientId(row["id"]), offer)
    if row["pending_key"] is None:
        update(db, realm, client, row, pending_key=offer.public)
        requeue(db, outbox.c.client == row["id"], outbox.c.kind == Kind.ID_KEY.value)
    elif reveal(realm, client, row, "pending_key") != offer.public:
        # the first may be in use already
        raise Conflict(f"{row['name']} offers other keys than before")


def _exists(db: sa.Connection, *which: sa.ColumnElement[bool]) -> bool:
    return db.scalar(sa.select(outbox.c.id).where(*which).limit(1)) is not None
