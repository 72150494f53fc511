# SPDX-License-Identifier: Apache-2.0
"""Hellos that are answered, or too soon after the last: what a whole fleet says when its broker comes back."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from e4c2 import commands, dead_letters
from e4c2.columns import among, portions
from e4c2.model import Delivery, Kind, outbox
from e4c2.plain import Case
from e4c2.rows import Realm
from e4core.report import Hello

_SYNC = outbox.c.kind == Kind.SYNC.value


def fitting(db: sa.Connection, realm: Realm, cases: Collection[Case]) -> list[Case]:
    """Those that are to be answered now."""
    now = realm.clock()
    every_s = {
        each.device["id"]: realm.format.greets(each.report, each.sequence)
        for each in cases
        if isinstance(each.report, Hello)
    }
    hellos = [each for each in cases if every_s.get(each.device["id"]) is not None]
    ids = [each.device["id"] for each in hellos]
    last: dict[bytes, float] = {}
    known: set[bytes] = set()
    for portion in portions(ids):
        mine = [_SYNC, among(db, outbox.c.client, portion)]
        times = sa.select(outbox.c.client, sa.func.max(outbox.c.created)).where(*mine, outbox.c.created <= now)
        last |= {row[0]: row[1] for row in db.execute(times.group_by(outbox.c.client))}
        nonces = [each.report.nonce for each in hellos if isinstance(each.report, Hello)]
        known |= set(db.scalars(sa.select(outbox.c.object).where(*mine, among(db, outbox.c.object, nonces))))
    return [
        each
        for each in hellos
        if isinstance(each.report, Hello)
        and each.report.nonce not in known
        and last.get(each.device["id"], 0.0) <= now - (every_s[each.device["id"]] or 0)
    ]


def write(db: sa.Connection, realm: Realm, done: Collection[Case]) -> None:
    """Answer the hellos among these, each by a Sync."""
    now = realm.clock()
    hellos = [(each.device["id"], each.report.nonce) for each in done if isinstance(each.report, Hello)]
    for ids in portions([of for of, _ in hellos]):
        dead_letters.revive(db, realm, among(db, outbox.c.client, ids))
        undone = [_SYNC, among(db, outbox.c.client, ids), outbox.c.state.in_(commands.OPEN)]
        db.execute(sa.update(outbox).where(*undone).values(state=Delivery.SUPERSEDED.value))
    waits = {"kind": Kind.SYNC.value, "state": Delivery.PENDING.value, "purge": False, "not_before": 0.0, "attempts": 0}
    if hellos:
        db.execute(
            sa.insert(outbox), [{"client": of, "object": nonce, "created": now, **waits} for of, nonce in hellos]
        )
