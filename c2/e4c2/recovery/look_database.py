# SPDX-License-Identifier: Apache-2.0
"""What ``e4 doctor`` looks at in the database. No key is needed, so it works when the KMS is the trouble; nothing is verified."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from e4c2 import key_acts
from e4c2.access import grants
from e4c2.access.grants import Role
from e4c2.audit import records
from e4c2.dead_letters import DEAD
from e4c2.model import (
    Delivery,
    Status,
    audit_record,
    client,
    dek,
    dek_wrap,
    operation,
    outbox,
    realm,
    recovery,
    token,
)
from e4c2.recovery import backups
from e4c2.recovery.findings import Verdict, failure, ok, warning
from e4c2.recovery.restored import State as Pause
from e4c2.store.server_time import server_time
from e4kms.deks import Purpose, State

HOUR_S, DAY_S = 3600, 24 * 3600
AHEAD_S = 5.0
STUCK_S = 600.0
BEHIND_S = HOUR_S
SILENT_S = 7 * DAY_S
BACKUP_S = 7 * DAY_S
KEY_AGE_S = 365 * DAY_S
ADMINS = 3
"""More than so many are hard to look after."""

Look = Callable[[sa.Connection, float], Verdict]


def pause(db: sa.Connection, _now: float) -> Verdict:
    if db.scalar(sa.select(recovery.c.state)) == Pause.PAUSED:
        return failure(
            "this C2 was restored from a backup, and sends nothing", "look, and confirm the members: e4 recovery show"
        )
    return ok("the C2 is not paused")


def wraps(db: sa.Connection, _now: float) -> Verdict:
    in_use = sa.and_(dek.c.purpose == dek_wrap.c.purpose, dek.c.version == dek_wrap.c.version)
    counted = sa.select(sa.func.count()).select_from(dek_wrap).join(dek, in_use)
    counts = db.scalars(
        counted.where(dek.c.state != State.RETIRED.value).group_by(dek_wrap.c.purpose, dek_wrap.c.version)
    ).all()
    if min(counts, default=0) < 2:
        return warning(
            "there are keys that one KMS alone opens: if that is lost, so is everything",
            "add another to the settings, then: e4 kms add-wrap URI",
        )
    return ok("two KMSes or more open every key")


def key_age(db: sa.Connection, now: float) -> Verdict:
    mine = [dek.c.purpose == Purpose.RECORDS.value, dek.c.state == State.ACTIVE.value]
    version = db.scalar(sa.select(sa.func.max(dek.c.version)).where(*mine)) or 1
    age = now - _in_use_since(db, version, now)
    if age > KEY_AGE_S:
        return warning(f"the key of the rows is {_days(age)} old", "make a new one: e4 kms rotate")
    return ok(f"version {version} of the key of the rows is in use")


def order_of_times(db: sa.Connection, now: float) -> Verdict:
    columns = (operation.c.created, outbox.c.created, audit_record.c.time, client.c.last_report, client.c.created)
    newest = max((db.scalar(sa.select(sa.func.max(column))) or 0.0 for column in columns), default=0.0)
    if newest > now + AHEAD_S:
        return failure(
            f"the database holds something from {newest - now:.0f} s after now: this clock is behind, or one of a C2 ran ahead",
            "set the wrong one right, and keep it by NTP; then wait until that time has come",
        )
    return ok("nothing in the database is from the future")


def server_clock(db: sa.Connection, now: float) -> Verdict:
    there = server_time(db)
    if there is None:
        return ok("the database has no clock of its own")
    if abs(there - now) > AHEAD_S:
        how = "ahead of" if there > now else "behind"
        return warning(
            f"the database server's clock is {abs(there - now):.0f} s {how} this one",
            "set the wrong one right, and keep both by NTP",
        )
    return ok("the database server has the same time")


def backup_age(db: sa.Connection, now: float) -> Verdict:
    made = backups.last_made(db)
    if made is None:
        return warning("no backup was ever made of this database", "make one each day: e4 backup create FILE")
    if now - made > BACKUP_S:
        return warning(f"the last backup is {_days(now - made)} old", "make one each day: e4 backup create FILE")
    return ok(f"the last backup is {_days(now - made)} old")


def tokens(db: sa.Connection, now: float) -> Verdict:
    held = db.execute(sa.select(token.c.grants, token.c.expires)).all()
    valid = [row for row in held if row.expires is None or row.expires > now]
    for_ever = sum(row.expires is None for row in valid)
    admins = sum(_is_admin(row.grants) for row in valid)
    text = f"{len(valid)} valid, {for_ever} of them never expire, {admins} are admins"
    if for_ever or admins > ADMINS:
        return warning(text, "revoke what is not needed, and let the others expire: e4 token list")
    return ok(text)


def stuck(db: sa.Connection, now: float) -> Verdict:
    due = [outbox.c.state == Delivery.PENDING.value, outbox.c.not_before <= now]
    oldest = db.scalar(sa.select(sa.func.min(outbox.c.created)).where(*due))
    if oldest is not None and now - oldest > STUCK_S:
        return failure(
            f"a command has been waiting for {_days(now - oldest)}",
            "see broker and KMS, then: e4 commands list",
        )
    return ok("no command waits long")


def dead_letters(db: sa.Connection, _now: float) -> Verdict:
    count = db.scalar(sa.select(sa.func.count()).select_from(outbox).where(outbox.c.state.in_(DEAD))) or 0
    if count:
        return warning(
            f"{count} commands on record were refused, or have expired",
            "see why, then try them again: e4 commands list --state refused, or expired",
        )
    return ok("no command on record was refused or has expired")


def behind(db: sa.Connection, now: float) -> Verdict:
    awaited = [outbox.c.state == Delivery.SENT.value, outbox.c.created < now - BEHIND_S, client.c.reports]
    joined = outbox.join(client, client.c.id == outbox.c.client)
    count = db.scalar(sa.select(sa.func.count(sa.distinct(outbox.c.object))).select_from(joined).where(*awaited)) or 0
    if count:
        return warning(
            f"of {count} topics or peers, members have not confirmed for more than an hour what they were sent",
            "see which: e4 commands list --state sent",
        )
    return ok("members have confirmed what they were sent")


def silent(db: sa.Connection, now: float) -> Verdict:
    where = [client.c.status == Status.ACTIVE.value, client.c.reports, client.c.last_report < now - SILENT_S]
    count = db.scalar(sa.select(sa.func.count()).select_from(client).where(*where)) or 0
    if count:
        return warning(f"{count} devices have not been heard of for a week", "see which: e4 clients list")
    return ok("all devices that report have done so within a week")


LOOKS: dict[str, Look] = {
    "recovery": pause,
    "kms wraps": wraps,
    "key age": key_age,
    "clock and database": order_of_times,
    "clock of the server": server_clock,
    "backup": backup_age,
    "tokens": tokens,
    "outbox": stuck,
    "dead letters": dead_letters,
    "topics behind": behind,
    "silent devices": silent,
}


def _in_use_since(db: sa.Connection, version: int, now: float) -> float:
    """When a key of the rows came into use, as the audit log has it; the begin of what is kept of that, if it was before."""
    if version == 1:
        return db.scalar(sa.select(realm.c.created)) or now
    objects = records.stored_objects([key_acts.name(Purpose.RECORDS, version)])
    of = [audit_record.c.action == key_acts.ACTIVATED, audit_record.c.objects == objects]
    oldest = sa.select(sa.func.min(audit_record.c.time))
    return db.scalar(oldest.where(*of)) or db.scalar(oldest) or now


def _is_admin(stored: bytes | None) -> bool:
    return stored is None or any(grant.role is Role.ADMIN for grant in grants.load(stored))


def _days(seconds: float) -> str:
    for unit, length in (("days", DAY_S), ("hours", HOUR_S), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
