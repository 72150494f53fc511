# SPDX-License-Identifier: Apache-2.0
"""Acks of what was still to be confirmed: done, with the digest that there should be if nothing else is under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from e4c2 import catching_up, commands, digests, sequences
from e4c2.columns import among, portions
from e4c2.hearing import heard
from e4c2.model import Delivery, Kind, outbox
from e4c2.plain import Case
from e4c2.rows import Realm, Row, plain
from e4core.report import Ack, Outcome

_DONE = (Outcome.APPLIED, Outcome.ALREADY)
_SHOWN = (Kind.TOPIC.value, Kind.NEXT.value, Kind.PEER.value, Kind.SYNC.value)
"""What a digest shows to be done, and nothing more than that."""
_EMPTYING = (Kind.RESET_TOPICS.value, Kind.RESET_PEERS.value)
"""What no digest shows, as other things follow."""

_ANSWERABLE = sa.and_(
    outbox.c.state.in_((*commands.OPEN, Delivery.EXPIRED.value)),
    sa.or_(outbox.c.state != Delivery.EXPIRED.value, outbox.c.sequence.is_not(None)),
)
"""What of Format 2 has expired is answered by an ack of the rest of its command, and looked at by itself."""


def fitting(db: sa.Connection, realm: Realm, cases: Collection[Case]) -> list[Case]:
    """Those that are plain, each with what it answers. Raises: Tampered."""
    acks = [each for each in cases if isinstance(each.report, Ack) and each.report.outcome in _DONE]
    undone = _undone(db, [each.device["id"] for each in acks])
    answering = [
        replace(each, answered=found)
        for each in acks
        if (found := _answered(realm, each, undone[each.device["id"]])) is not None
    ]
    judged = _judged(db, realm, answering, undone)
    lacking = [each.device["id"] for each in judged if each.holds is False]
    waiting = catching_up.lately(db, realm, lacking)
    return [
        each
        for each in judged
        if (of := each.device["id"])
        and _is_plain(realm, each, undone[of])
        and (each.holds is not False or not (of in waiting or of in realm.astray))
    ]


def write(db: sa.Connection, realm: Realm, done: Collection[Case]) -> None:
    """Confirm what the acks among these answer, and fill the devices that lack something; an ack of what is over does nothing."""
    acks = [(each, each.report) for each in done if isinstance(each.report, Ack) and each.answered]
    heard(db, realm, [each.device for each, _ in acks])
    for ids in portions([row["id"] for each, _ in acks for row in each.answered]):
        db.execute(sa.update(outbox).where(among(db, outbox.c.id, ids)).values(state=Delivery.CONFIRMED.value))
    sequences.confirm_all(db, realm, [(each.sequence, _number(ack)) for each, ack in acks if each.sequence])
    for each, _ in acks:
        if each.holds:
            realm.astray.pop(each.device["id"], None)
        realm.answered(each.answered[0]["created"])
    if lacking := [each.device for each, _ in acks if each.holds is False]:
        catching_up.begin(db, realm, lacking)


def _undone(db: sa.Connection, devices: Collection[bytes]) -> dict[bytes, list[Row]]:
    found: dict[bytes, list[Row]] = defaultdict(list)
    for portion in portions(devices):
        statement = sa.select(outbox).where(among(db, outbox.c.client, portion), _ANSWERABLE)
        for row in plain(db.execute(statement.order_by(outbox.c.id)).all()):
            found[row["client"]].append(row)
    return found


def _answered(realm: Realm, case: Case, undone: Sequence[Row]) -> Sequence[Row] | None:
    assert isinstance(case.report, Ack)
    answered = realm.format.answers(case.report, undone, case.sequence)
    return answered if case.report.outcome is Outcome.APPLIED or not answered else None


def _judged(
    db: sa.Connection, realm: Realm, cases: Collection[Case], undone: Mapping[bytes, Sequence[Row]]
) -> list[Case]:
    """With whether the device holds what it should, where nothing newer is under way to it."""
    acks = [each for each in cases if each.answered]
    newest = {of for each in acks if undone[of := each.device["id"]][-1]["id"] == each.answered[-1]["id"]}
    expected = digests.expected(db, realm, newest) if newest else {}
    return [
        replace(each, holds=each.report.digest == expected[of]) if (of := each.device["id"]) in newest else each
        for each in cases
    ]


def _is_plain(realm: Realm, case: Case, undone: Sequence[Row]) -> bool:
    """Whether nothing follows from it but what `write` does."""
    if case.holds and len(case.answered) < len(undone):  # it proves what was sent before, too
        return False
    if case.holds is False and realm.format.all_report:  # there it is a reason to wonder
        return False
    kinds = (*_SHOWN, *_EMPTYING) if case.holds is None else _SHOWN
    return all(row["kind"] in kinds for row in case.answered)


def _number(ack: Ack) -> int:
    return int.from_bytes(ack.subject[:8], "little")
