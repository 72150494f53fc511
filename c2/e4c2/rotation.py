# SPDX-License-Identifier: Apache-2.0
"""A new key for a topic, and what members are sent because of it (`design.md` section 5, rule 5)."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from e4c2 import changes, commands, departures, epochs, events
from e4c2.columns import portions
from e4c2.model import Cause, PlanState, planned, topic
from e4c2.rows import Realm, Row, update_all

REPLACED = "replaced"
"""Why a plan came to nothing: the topic got another key at once."""


def rekey(db: sa.Connection, realm: Realm, topics: Collection[Row], operation: bytes, *, purge: bool = False) -> bool:
    """Give each of the topics a new key and send it to all its active members; whether somebody had left who knew the former one.

    What was planned for them is over: who leaves may hold the key of the plan already.
    Args: purge: they forget the previous key at once rather than after its grace, as somebody was evicted who has it; so they do
        where somebody left before, and this was waited for.
    """
    now = realm.clock()
    first = departures.take(db, [row["id"] for row in topics])
    revoked = [row["id"] for row in topics if purge or row["id"] in first]
    rotated = [row["id"] for row in topics if not purge and row["id"] not in first]
    changes.begin(db, realm, revoked, Cause.REVOCATION, first)
    changes.begin(db, realm, rotated, Cause.ROTATION)
    update_all(db, realm, topic, [(row, {"key": epochs.fresh_key(), "rotated": now}) for row in topics])
    realm.format.renewed(db, realm, topics)
    _end_plans(db, realm, [row["id"] for row in topics])
    names = [row["name"] for row in topics]
    events.tell_each(db, realm, events.Kind.TOPIC_ROTATED, topics=names, operation=operation.hex())
    commands.enqueue_members(db, realm, operation, revoked, purge=True)
    commands.enqueue_members(db, realm, operation, rotated)
    return bool(first)


def _end_plans(db: sa.Connection, realm: Realm, topics: Collection[bytes]) -> None:
    over = {"reason": REPLACED, "ended": realm.clock()}
    becomes = {
        PlanState.DISTRIBUTING: PlanState.ABORTED,
        PlanState.READY: PlanState.ABORTED,
        PlanState.ACTIVATING: PlanState.DONE,
    }
    for portion in portions(topics):
        mine = planned.c.topic.in_(portion)
        for state, end in becomes.items():
            db.execute(sa.update(planned).where(mine, planned.c.state == state.value).values(state=end.value, **over))


def with_plan(db: sa.Connection, topics: Collection[bytes]) -> set[bytes]:
    """Of these topics, those whose members hold, or are to hold, a key for later."""
    early = planned.c.state.in_((PlanState.DISTRIBUTING.value, PlanState.READY.value))
    which = sa.select(planned.c.topic).where(early)
    return {of for portion in portions(topics) for of in db.scalars(which.where(planned.c.topic.in_(portion)))}


def revoke(
    db: sa.Connection, realm: Realm, left: departures.Left, operation: bytes, rekeyed: bool, wait_s: float | None
) -> None:
    """Clients have left topics: re-key those at once, or note that it is still to be done.

    Args: rekeyed: False: not until somebody rotates the topic.  wait_s: so long others may leave before it is done once for all
        of them; None: as the settings say. Who may hold the key of a plan is not waited for.
    """
    if not rekeyed:
        departures.note(db, realm, left, None)
        return
    ids = {row["id"] for row, _ in left}
    wait = realm.evictions_wait_s if wait_s is None else wait_s
    at_once = with_plan(db, ids) if wait else ids
    departures.note(db, realm, [each for each in left if each[0]["id"] not in at_once], wait)
    if at_once:
        rekey(db, realm, [row for row, _ in left if row["id"] in at_once], operation, purge=True)
