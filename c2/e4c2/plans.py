# SPDX-License-Identifier: Apache-2.0
"""Planned rotations: the next key is at the members before anybody uses it (Format 2, `format2.md` section 5).

Every member of a topic may read and write it, so there is no telling consumers from publishers: nobody is told to use the key
before a quorum of all holds it, by default every one, or the deadline says so. Until then a plan can be given up, which leaves
members with what they had. Afterwards it cannot, as messages under the key are on their way: another key is the way on. So it is if
somebody is evicted meanwhile, who may hold the key of the plan: the topic gets one that he does not know, at once.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from math import ceil

import sqlalchemy as sa

from e4c2 import changes, commands, departures, epochs, holdings, queueing, rotation, topics
from e4c2.audit import chain
from e4c2.audit.records import OWN
from e4c2.changes import Converged
from e4c2.commands import parse_id
from e4c2.model import AtDeadline, Cause, Delivery, Kind, PlanState, client, membership, outbox, planned, topic
from e4c2.queueing import ACTIVE
from e4c2.rows import Realm, Row, find_ids, update
from e4core.errors import Conflict, NotFound, UnsupportedSuite

EARLY = (PlanState.DISTRIBUTING.value, PlanState.READY.value)
"""Nobody uses the key yet."""
OPERATOR, DEADLINE = "operator", "deadline"
"""Why a plan ended, beside `rotation.REPLACED`."""
LONGEST_S = 30 * 24 * 3600
_LOOKED_AT_PER_S = 5000
"""Members, by one plan; so a plan of very many is looked at less often."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned rotation. ``holding`` of the ``members`` have confirmed that they hold its key, of which ``needed`` must."""

    id: str
    topic: str
    """Id."""
    epoch: int
    state: PlanState
    reason: str | None
    """What ended or activated it, if that is not the quorum: an operator, its deadline, or that the topic got another key."""
    members: int
    holding: int
    needed: int
    automatic: bool
    deadline: float
    at_deadline: AtDeadline
    operation: str
    """The last of those that distribute the key, activate it, and take it back."""
    created: float
    activated: float | None
    ended: float | None


@dataclass(frozen=True, slots=True)
class Terms:
    """When the key of a plan is used.

    ``quorum``: share of the active members, above 0 and up to 1, that must hold it.  ``within_s``: from now to the deadline.
    ``automatic``: False: at the quorum it waits for an operator, until the deadline.
    """

    quorum: float = 1.0
    within_s: float = 24 * 3600
    at_deadline: AtDeadline = AtDeadline.ACTIVATE
    automatic: bool = True


def begin(db: sa.Connection, realm: Realm, name: str, terms: Terms) -> Plan:
    """Make the next key of a topic, and send it to all members, to be held.

    Raises: NotFound. UnsupportedSuite: devices of this suite hold one key. Conflict: a plan is under way, or somebody was evicted
    and is still to be re-keyed out.
    """
    if not realm.format.all_report:
        raise UnsupportedSuite(f"devices of the suite {realm.suite.name} use a key as soon as they have it; rotate it")
    row = topics.require(db, realm, name)
    if db.scalar(sa.select(planned.c.id).where(planned.c.topic == row["id"], planned.c.ended.is_(None))) is not None:
        raise Conflict(f"a rotation of {name} is planned already; activate or abort it first")
    if departures.count(db, row["id"]):
        raise Conflict(f"clients that were evicted still know the key of {name}; rotate it at once")
    now = realm.clock()
    mark = queueing.newest(db)
    operation = commands.begin(db, realm, "plan", name)
    values = {
        "id": os.urandom(16),
        "topic": row["id"],
        "epoch": epochs.prepare(db, realm, row["id"]),
        "state": PlanState.DISTRIBUTING.value,
        "reason": None,
        "quorum": terms.quorum,
        "automatic": terms.automatic,
        "deadline": now + terms.within_s,
        "at_deadline": terms.at_deadline.value,
        "operation": operation,
        "mark": mark,
        "look_at": now,
        "members": 0,
        "holding": 0,
        "created": now,
        "activated": None,
        "ended": None,
    }
    db.execute(sa.insert(planned).values(values))
    commands.enqueue_next(db, realm, operation, row["id"])
    return _present(db, realm, values)


def page(db: sa.Connection, realm: Realm, name: str, before: float = 0, limit: int = 100) -> list[Plan]:
    """Plans of a topic, the newest first; those made before ``before``, if that is no 0. Raises: NotFound."""
    mine = sa.select(planned).where(planned.c.topic == topics.require(db, realm, name)["id"])
    if before:
        mine = mine.where(planned.c.created < before)
    rows = db.execute(mine.order_by(planned.c.created.desc()).limit(limit)).mappings()
    return [_present(db, realm, row) for row in rows.all()]


def show(db: sa.Connection, realm: Realm, name: str, plan: str) -> Plan:
    """Raises: NotFound."""
    return _present(db, realm, _require(db, realm, name, plan))


def activate(db: sa.Connection, realm: Realm, name: str, plan: str, force: bool = False) -> Plan:
    """Use the key from now on.

    Args: force: although the quorum does not hold it; who does not gets it with this, and misses what comes before that.
    Raises: NotFound. Conflict: it is in use, or given up; or the quorum is not reached.
    """
    row = _early(db, realm, name, plan)
    count = _count(db, realm, row)
    if count["holding"] < _needed(row["quorum"], count["members"]) and not force:
        raise Conflict(f"{count['holding']} of {count['members']} members hold the key; wait, or force it")
    _activate(db, realm, {**row, **count}, OPERATOR)
    return show(db, realm, name, plan)


def abort(db: sa.Connection, realm: Realm, name: str, plan: str) -> Plan:
    """Never use the key; who holds it is told to forget it. Raises: NotFound. Conflict: it is in use, or given up."""
    _abort(db, realm, _early(db, realm, name, plan), OPERATOR)
    return show(db, realm, name, plan)


def due(db: sa.Connection, realm: Realm) -> list[bytes]:
    """Plans that `drive` is to look at."""
    late = sa.or_(planned.c.look_at <= realm.clock(), planned.c.deadline <= realm.clock())
    return list(db.scalars(sa.select(planned.c.id).where(planned.c.state.in_(EARLY), late)))


def drive(db: sa.Connection, realm: Realm, plan: bytes) -> None:
    """Count who holds the key of a plan, and go on where the quorum or the deadline has come. Raises: Tampered. Conflict."""
    row = db.execute(sa.select(planned).where(planned.c.id == plan)).mappings().one()
    if row["state"] not in EARLY:
        return
    now, count = realm.clock(), _count(db, realm, row)
    is_ready = count["holding"] >= _needed(row["quorum"], count["members"])
    state = PlanState.READY if is_ready else PlanState.DISTRIBUTING
    look_at = now + max(1.0, count["members"] / _LOOKED_AT_PER_S)
    _set(db, row["id"], state=state.value, look_at=look_at, **count)
    after = {**row, **count}
    if is_ready and row["automatic"]:
        done = _activate(db, realm, after, None)
    elif now < row["deadline"]:
        return
    elif row["at_deadline"] == AtDeadline.ACTIVATE:
        done = _activate(db, realm, after, DEADLINE)
    else:
        _abort(db, realm, after, DEADLINE)
        done = "plan_aborted"
    chain.append(db, realm, OWN.step(done, f"topic:{row['topic'].hex()}", f"plan:{plan.hex()}"))


def put_off(db: sa.Connection, plan: bytes, by_s: float) -> None:
    """It could not be looked at now."""
    times = {"look_at": planned.c.look_at + by_s, "deadline": planned.c.deadline + by_s}
    db.execute(sa.update(planned).where(planned.c.id == plan).values(**times))


def finish(db: sa.Connection, realm: Realm, done: Collection[Converged]) -> None:
    """Topics whose members all have the key that was activated."""
    over = {"state": PlanState.DONE.value, "ended": realm.clock()}
    for each in done:
        if each.cause is Cause.ACTIVATION:
            mine = [planned.c.topic == each.topic, planned.c.state == PlanState.ACTIVATING.value]
            db.execute(sa.update(planned).where(*mine).values(**over))


def prune(db: sa.Connection, realm: Realm) -> None:
    """Take what was over long ago off the record."""
    db.execute(sa.delete(planned).where(planned.c.ended < realm.clock() - changes.KEPT_S))


def _activate(db: sa.Connection, realm: Realm, plan: Row, reason: str | None) -> str:
    """Or re-key at once, where somebody left who may hold this very key; what was done, as the audit log has it."""
    (row,) = find_ids(db, realm, topic, topic.c.id, [plan["topic"]])
    if departures.count(db, plan["topic"]):
        operation = commands.begin(db, realm, "rekey", row["name"])
        rotation.rekey(db, realm, [row], operation, purge=True)
        _set(db, plan["id"], operation=operation)
        return "topic_rekeyed"
    operation = commands.begin(db, realm, "activate", row["name"])
    now = realm.clock()
    changes.begin(db, realm, [plan["topic"]], Cause.ACTIVATION)
    update(db, realm, topic, row, key=epochs.adopt(db, realm, plan["topic"]), rotated=now)
    _close(db, plan)
    commands.enqueue_members(db, realm, operation, [plan["topic"]])
    values = {"state": PlanState.ACTIVATING.value, "activated": now, "reason": reason, "operation": operation}
    _set(db, plan["id"], **values, members=plan["members"], holding=plan["holding"])
    return "plan_activated"


def _abort(db: sa.Connection, realm: Realm, plan: Row, reason: str) -> None:
    epochs.give_up(db, realm, plan["topic"])
    told = sa.select(outbox.c.client).where(*_deliveries(plan), outbox.c.attempts > 0)
    members = sa.select(membership.c.client).where(membership.c.topic == plan["topic"])
    operation = commands.begin(db, realm, "abort", db.scalars(_NAME, {"of": plan["topic"]}).one())
    holders = list(db.scalars(sa.select(client.c.id).where(client.c.id.in_(told), client.c.id.in_(members))))
    _close(db, plan)
    commands.enqueue(db, realm, operation, holders, Kind.TOPIC, plan["topic"])
    over = {"state": PlanState.ABORTED.value, "reason": reason, "ended": realm.clock()}
    _set(db, plan["id"], **over, operation=operation)


_NAME = sa.select(topic.c.name).where(topic.c.id == sa.bindparam("of", type_=sa.LargeBinary))


def _close(db: sa.Connection, plan: Row) -> None:
    """What is still to bring the key of the plan has no purpose any more."""
    waits = [*_deliveries(plan), outbox.c.state == Delivery.PENDING.value]
    db.execute(sa.update(outbox).where(*waits).values(state=Delivery.SUPERSEDED.value))


def _count(db: sa.Connection, realm: Realm, plan: Row) -> dict[str, int]:
    """Active members, and those of them that have confirmed that they hold the key."""
    stays = [holdings.MEMBER, ACTIVE, membership.c.topic == plan["topic"]]
    holds = sa.exists().where(
        outbox.c.client == client.c.id, *_deliveries(plan), outbox.c.state == Delivery.CONFIRMED.value
    )
    each = sa.select(holds.correlate_except(outbox).label("holds")).select_from(sa.join(membership, client, *stays[:1]))
    found = each.where(*stays[1:]).subquery().c.holds
    members, holding = db.execute(sa.select(sa.func.count(), sa.func.sum(sa.case((found, 1), else_=0)))).one()
    return {"members": int(members), "holding": int(holding or 0)}


def _deliveries(plan: Row) -> list[sa.ColumnElement[bool]]:
    return [outbox.c.kind == Kind.NEXT.value, outbox.c.object == plan["topic"], outbox.c.id > plan["mark"]]


def _needed(quorum: float, members: int) -> int:
    return min(ceil(quorum * members), members)


def _set(db: sa.Connection, plan: bytes, **values: object) -> None:
    db.execute(sa.update(planned).where(planned.c.id == plan).values(**values))


def _early(db: sa.Connection, realm: Realm, name: str, plan: str) -> Row:
    row = _require(db, realm, name, plan)
    if row["state"] not in EARLY:
        raise Conflict(f"this plan is {row['state']}; to get another key into use, rotate {name}")
    return row


def _require(db: sa.Connection, realm: Realm, name: str, plan: str) -> Row:
    mine = [planned.c.topic == topics.require(db, realm, name)["id"], planned.c.id == parse_id(plan)]
    row = db.execute(sa.select(planned).where(*mine)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"{name} has no such plan")
    return dict(row)


def _present(db: sa.Connection, realm: Realm, plan: Row) -> Plan:
    row = {**plan, **_count(db, realm, plan)} if plan["state"] in EARLY else plan
    return Plan(
        id=row["id"].hex(),
        topic=row["topic"].hex(),
        epoch=row["epoch"],
        state=PlanState(row["state"]),
        reason=row["reason"],
        members=row["members"],
        holding=row["holding"],
        needed=_needed(row["quorum"], row["members"]),
        automatic=bool(row["automatic"]),
        deadline=row["deadline"],
        at_deadline=AtDeadline(row["at_deadline"]),
        operation=row["operation"].hex(),
        created=row["created"],
        activated=row["activated"],
        ended=row["ended"],
    )
