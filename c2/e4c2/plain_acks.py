# SPDX-License-Identifier: Apache-2.0
"""Acks as nearly all are: of the one thing that was still to be confirmed, done, under the key in use, with the digest that there
should be. They are taken all at once, by a handful of statements; whatever is not quite so is left to who looks at each.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import c2keys, commands, digests, sequences
from e4c2.hearing import heard
from e4c2.model import Delivery, Kind, Status, client, outbox
from e4c2.present import channel
from e4c2.rows import Realm, Row, find_ids, plain, portions
from e4core import report
from e4core.errors import AuthenticationFailed, Tampered
from e4core.keys import ClientId
from e4core.report import Ack, Outcome

PLAIN = (Kind.TOPIC.value, Kind.NEXT.value, Kind.PEER.value, Kind.SYNC.value)
"""What a digest shows to be done, and nothing more than that."""


@dataclass(frozen=True, slots=True)
class _Case:
    device: Row
    ack: Ack
    open: list[Row]
    """All deliveries that are not done."""
    sequence: Row | None


def take(
    db: sa.Connection, realm: Realm, keys: c2keys.Versions, reports: Collection[tuple[bytes, bytes]]
) -> set[bytes]:
    """Take the plain ones; of which devices they were.

    Args: reports: id of the client that each claims to be of, and its payload.
    """
    often = Counter(of for of, _ in reports)
    once = {of: payload for of, payload in reports if often[of] == 1}
    try:
        cases = _cases(db, realm, keys, once)
        expected = digests.expected(db, realm, [each.device["id"] for each in cases]) if cases else {}
    except Tampered:  # by one of these or by what one shares with others; who looks at each says so
        return set()
    done = [each for each in cases if each.ack.digest == expected[each.device["id"]]]
    if done:
        with db.begin_nested():
            _write(db, realm, done)
    return {each.device["id"] for each in done}


def _cases(db: sa.Connection, realm: Realm, keys: c2keys.Versions, reports: Mapping[bytes, bytes]) -> list[_Case]:
    opened = {}
    for row in find_ids(db, realm, client, client.c.id, reports):
        if row["status"] == Status.ACTIVE and row["reports"] and row["pending_key"] is None:
            ack = _opened(realm, keys, row, reports[row["id"]])
            if ack is not None:
                opened[row["id"]] = row, ack
    if not opened:
        return []
    undone = _undone(db, opened)
    held = sequences.held(db, realm, opened)
    cases = [_Case(row, ack, undone.get(of, []), held.get(of)) for of, (row, ack) in opened.items()]
    return [each for each in cases if _is_plain(realm, each)]


def _opened(realm: Realm, keys: c2keys.Versions, row: Row, payload: bytes) -> Ack | None:
    """An ack of what was done, that opens under the key in use."""
    if row["c2_key"] != keys.newest:
        return None
    try:
        content = report.open_report(
            realm.suite, channel(realm, keys, row, "key", row["c2_key"]), ClientId(row["id"]), payload
        )
    except AuthenticationFailed:
        return None
    return content if isinstance(content, Ack) and content.outcome is Outcome.APPLIED else None


def _undone(db: sa.Connection, devices: Collection[bytes]) -> dict[bytes, list[Row]]:
    found: dict[bytes, list[Row]] = defaultdict(list)
    for portion in portions(devices):
        statement = sa.select(outbox).where(outbox.c.client.in_(portion), outbox.c.state.in_(commands.OPEN))
        for row in plain(db.execute(statement).all()):
            found[row["client"]].append(row)
    return found


def _is_plain(realm: Realm, case: _Case) -> bool:
    settled = all(row["state"] in commands.UNCONFIRMED and row["kind"] in PLAIN for row in case.open)
    return bool(case.open) and settled and realm.format.answers(case.ack, case.open, case.sequence)


def _number(ack: Ack) -> int:
    return int.from_bytes(ack.subject[:8], "little")


def _write(db: sa.Connection, realm: Realm, done: Collection[_Case]) -> None:
    heard(db, realm, [each.device for each in done])
    for ids in portions([row["id"] for each in done for row in each.open]):
        db.execute(sa.update(outbox).where(outbox.c.id.in_(ids)).values(state=Delivery.CONFIRMED.value))
    sequences.confirm_all(db, realm, [(each.sequence, _number(each.ack)) for each in done if each.sequence])
    for each in done:
        realm.astray.pop(each.device["id"], None)
        realm.answered(each.open[0]["created"])
