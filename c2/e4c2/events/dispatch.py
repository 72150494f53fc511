# SPDX-License-Identifier: Apache-2.0
"""Sends events to webhooks: in order for each, one replica at a time, again until they are taken.

How far a webhook is stands in its row, and moves only after its receiver has answered: so what a crash interrupts is sent again,
under the same id. A slow receiver keeps nobody waiting but itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa

from e4c2.commands import pause
from e4c2.events import log, posting, signing, webhooks
from e4c2.events.log import Event, Span
from e4c2.events.posting import Answer, Target
from e4c2.model import event, replica, webhook
from e4c2.rows import Realm, Row, find_by, reveal, strange, typed
from e4c2.store.engine import Store
from e4core.errors import KmsError, KmsUnavailable, NotFound, StorageError, Tampered, TransportError
from e4core.keys import Secret

logger = logging.getLogger(__name__)

POLL_S = 1.0
LOOK_PAUSE_S = 0.05
"""Between two looks, so that many changes a second cost few of them."""
AT_ONCE = 32
"""Webhooks that this process sends to at the same time."""
BATCH = 20
"""Events of one webhook that are sent one after the other before that is written down."""
WORK_S = 10.0
"""After this, what was sent is written down before more is."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 3600.0
GIVE_UP_S = 3 * 24 * 3600.0
"""A webhook that has failed for so long is paused; sooner, if events are kept for less than twice that."""

# Asked after every change: made once, as it takes longer to make this statement than to run it
_FREE = sa.or_(webhook.c.holder.is_(None), webhook.c.holder.not_in(sa.select(replica.c.id)))
_HERE = sa.exists().where(replica.c.id == sa.bindparam("me"))  # else the others take it for dead, until its next beat
_NEWEST = sa.select(sa.func.max(event.c.id)).scalar_subquery()
_BEHIND = [webhook.c.paused.is_(None), webhook.c.not_before <= sa.bindparam("now"), webhook.c.cursor < _NEWEST]
_DUE = sa.select(webhook.c.id).where(_HERE, _FREE, *_BEHIND)
_ANY_DUE = _DUE.limit(1)


@dataclass(frozen=True, slots=True)
class Load:
    """What one webhook is to be sent now."""

    webhook: bytes
    name: str
    to: Target
    secret: Secret
    span: Span
    after: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """``done``: number of the last event that was taken, or that is not for it; ``failure`` None: all were."""

    done: int
    failure: str | None = None
    retry_after_s: float = 0.0
    is_over: bool = False
    """The receiver wants no more."""


class Dispatcher:
    """One a process."""

    def __init__(self, store: Store, realm: Realm, kept_s: float) -> None:
        """Args: kept_s: how long events are kept."""
        self._store = store
        self._realm = realm
        self._give_up_s = min(GIVE_UP_S, kept_s / 2)
        self._at_work = 0
        self._woken = asyncio.Event()
        self._told: set[str] = set()
        store.when_written(self._woken.set)

    async def run(self) -> None:
        """Work until cancelled; then what was sent is written down, and others may go on."""
        await self._store.write(resume, self._realm)
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._woken.clear()
                for load in await self._claim():
                    self._at_work += 1
                    tasks.create_task(self._carry(load))
                await asyncio.sleep(LOOK_PAUSE_S)
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._woken.wait()

    async def _claim(self) -> list[Load]:
        room = AT_ONCE - self._at_work
        try:
            if room > 0 and self._realm.keyring.seconds_left and await self._store.read(is_any_due, self._realm):
                return await self._store.write(claim, self._realm, room, self._told)
        except (StorageError, KmsUnavailable) as error:
            self._tell(error)
        return []

    async def _carry(self, load: Load) -> None:
        sent = load.after
        try:
            outcome = Outcome(sent)
            until = time.monotonic() + WORK_S
            for each in load.span.events:
                if time.monotonic() >= until:
                    break
                outcome = await self._send(load, each)
                if outcome.failure is not None:
                    break
                sent = each.id
            else:
                outcome = Outcome(load.span.upto)
            await self._settle(load, outcome)
        except asyncio.CancelledError:
            with suppress(StorageError):
                await self._store.write(settle, self._realm, load, Outcome(sent))
            raise
        finally:
            self._at_work -= 1
            self._woken.set()

    async def _send(self, load: Load, each: Event) -> Outcome:
        message = signing.message(each)
        try:
            answer = await post(load.to, load.secret, message, self._realm.clock())
        except TransportError as error:
            return Outcome(each.id - 1, str(error))
        if answer.is_taken:
            return Outcome(each.id)
        gone = answer.status == HTTPStatus.GONE
        return Outcome(each.id - 1, f"it answers {answer.status}", answer.retry_after_s, gone)

    async def _settle(self, load: Load, outcome: Outcome) -> None:
        """Until it is written down: nobody else sends to this webhook while this replica lives."""
        while True:
            try:
                return await self._store.write(settle, self._realm, load, outcome, self._give_up_s)
            except (KmsError, StorageError) as error:  # a pause is on record, which takes keys and a sound audit log
                self._tell(error)
            await asyncio.sleep(POLL_S)

    def _tell(self, error: Exception) -> None:
        if str(error) not in self._told:
            self._told.add(str(error))
            logger.error("webhooks wait: %s", error)


async def post(to: Target, secret: Secret, message: signing.Message, now: float) -> Answer:
    """Raises: TransportError."""
    return await posting.post(to, message.body, signing.headers(secret, message, now))


def resume(db: sa.Connection, realm: Realm) -> None:
    """After a start: what this replica was at when it died is free."""
    db.execute(sa.update(webhook).where(webhook.c.holder == realm.replica).values(holder=None))


def is_any_due(db: sa.Connection, realm: Realm) -> bool:
    """Whether there is something to be sent, or to be passed over."""
    return db.scalar(_ANY_DUE, _now(realm)) is not None


def claim(db: sa.Connection, realm: Realm, limit: int, told: set[str]) -> list[Load]:
    """Take webhooks that have something to be sent, so that no other replica does. Args: told: ids whose alarm was given."""
    loads = []
    for identity in db.scalars(_DUE.order_by(webhook.c.cursor).limit(limit), _now(realm)):
        try:
            load = _load(db, realm, identity)
        except Tampered as error:
            if identity.hex() not in told:
                told.add(identity.hex())
                logger.error("the webhook %s is sent nothing: %s", identity.hex(), error)
            continue
        taken = {"holder": realm.replica} if load.span.events else {"cursor": load.span.upto}
        db.execute(sa.update(webhook).where(webhook.c.id == identity).values(**taken))
        loads += [load] if load.span.events else []
    return loads


def settle(db: sa.Connection, realm: Realm, load: Load, outcome: Outcome, give_up_s: float = GIVE_UP_S) -> None:
    """Write down how far a webhook is, and free it, if nobody else has taken it meanwhile."""
    mine = [webhook.c.id == load.webhook, webhook.c.holder == realm.replica]
    row = db.execute(sa.select(webhook).where(*mine)).mappings().one_or_none()
    if row is None:
        return
    free = {"holder": None, "cursor": max(outcome.done, load.after)}
    now = realm.clock()
    tries = _tries(now, row, load, outcome)
    db.execute(sa.update(webhook).where(*mine).values(**free, **tries))
    since = tries["failing_since"]
    if outcome.is_over or (since is not None and now - since > give_up_s):
        webhooks.pause(db, realm, row, outcome.failure or "")


def _tries(now: float, row: Row, load: Load, outcome: Outcome) -> dict[str, Any]:
    if outcome.failure is None:
        return {"attempts": 0, "not_before": 0.0, "failing_since": None, "failure": None}
    moved = outcome.done > load.after
    failures = 0 if moved else row["attempts"]
    wait_s = max(pause(FIRST_PAUSE_S, LONGEST_PAUSE_S, failures) * random.uniform(0.75, 1.25), outcome.retry_after_s)  # noqa: S311
    since = now if moved or row["failing_since"] is None else row["failing_since"]
    failure = outcome.failure[: webhooks.FAILURE_MAX]
    return {"attempts": failures + 1, "not_before": now + wait_s, "failing_since": since, "failure": failure}


def _load(db: sa.Connection, realm: Realm, identity: bytes) -> Load:
    row = find_by(db, realm, webhook, webhook.c.id, identity)
    if row is None:
        raise strange(webhook)
    typed(webhook, row)
    kinds = webhooks.kinds_of(row)
    try:
        after, span = row["cursor"], log.page(db, realm, row["cursor"], BATCH, kinds)
    except NotFound:
        logger.error("%s was paused for so long that events it was not sent are kept no more", row["name"])
        after, span = 0, log.page(db, realm, None, BATCH, kinds)
    to, secret = posting.target(row["url"]), reveal(realm, webhook, row, "secret")
    return Load(identity, row["name"], to, secret, span, after)


def _now(realm: Realm) -> dict[str, Any]:
    return {"me": realm.replica, "now": realm.clock()}
