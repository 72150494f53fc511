# SPDX-License-Identifier: Apache-2.0
"""Acks of the one thing that was still to be confirmed: done, with the digest that there should be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace

import sqlalchemy as sa

from e4c2 import commands, digests, sequences
from e4c2.columns import among
from e4c2.hearing import heard
from e4c2.model import Delivery, Kind, outbox
from e4c2.plain import Case
from e4c2.rows import Realm, Row, plain, portions
from e4core.report import Ack, Outcome

PLAIN = (Kind.TOPIC.value, Kind.NEXT.value, Kind.PEER.value, Kind.SYNC.value)
"""What a digest shows to be done, and nothing more than that."""


def fitting(db: sa.Connection, realm: Realm, cases: Collection[Case]) -> list[Case]:
    """Those that are plain, each with what it answers. Raises: Tampered."""
    acks = [each for each in cases if isinstance(each.report, Ack) and each.report.outcome is Outcome.APPLIED]
    undone = _undone(db, [each.device["id"] for each in acks])
    plain_ones = [replace(each, open=undone.get(each.device["id"], [])) for each in acks]
    plain_ones = [each for each in plain_ones if _is_plain(realm, each)]
    expected = digests.expected(db, realm, [each.device["id"] for each in plain_ones]) if plain_ones else {}
    return [each for each in plain_ones if each.report.digest == expected[each.device["id"]]]


def write(db: sa.Connection, realm: Realm, done: Collection[Case]) -> None:
    """Confirm what the acks among these answer."""
    acks = [(each, each.report) for each in done if isinstance(each.report, Ack)]
    heard(db, realm, [each.device for each, _ in acks])
    for ids in portions([row["id"] for each, _ in acks for row in each.open]):
        db.execute(sa.update(outbox).where(among(db, outbox.c.id, ids)).values(state=Delivery.CONFIRMED.value))
    sequences.confirm_all(db, realm, [(each.sequence, _number(ack)) for each, ack in acks if each.sequence])
    for each, _ in acks:
        realm.astray.pop(each.device["id"], None)
        realm.answered(each.open[0]["created"])


def _undone(db: sa.Connection, devices: Collection[bytes]) -> dict[bytes, list[Row]]:
    found: dict[bytes, list[Row]] = defaultdict(list)
    for portion in portions(devices):
        statement = sa.select(outbox).where(among(db, outbox.c.client, portion), outbox.c.state.in_(commands.OPEN))
        for row in plain(db.execute(statement).all()):
            found[row["client"]].append(row)
    return found


def _is_plain(realm: Realm, case: Case) -> bool:
    assert isinstance(case.report, Ack)
    settled = all(row["state"] in commands.UNCONFIRMED and row["kind"] in PLAIN for row in case.open)
    return bool(case.open) and settled and realm.format.answers(case.report, case.open, case.sequence)


def _number(ack: Ack) -> int:
    return int.from_bytes(ack.subject[:8], "little")
