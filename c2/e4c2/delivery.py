# SPDX-License-Identifier: Apache-2.0
"""The courier: carries what the outbox holds to the broker, and reports back into the database.

Nothing is published that is not committed (rule 1); what a crash interrupts is sealed anew and sent again, in order.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from random import SystemRandom

import sqlalchemy as sa

from e4c2 import deks, ledger, replicas, retention, tokens
from e4c2.columns import portions
from e4c2.commands import BATCH, pause
from e4c2.dead_letters import expire
from e4c2.ear import Ear
from e4c2.enrolment import tokens as enrolments
from e4c2.flights import Flight, outcome, reclaim
from e4c2.format import Sealed
from e4c2.intake import Intake
from e4c2.outages import Outage
from e4c2.reports import receive_all, senders
from e4c2.rows import Realm
from e4c2.settling import settle
from e4c2.store.engine import Store
from e4c2.telemetry.tracing import UNTRACED, Tracer
from e4core.errors import RateExceeded, StorageError, Tampered, TransportError, UnknownKey
from e4core.transport import Incoming, Transport

log = logging.getLogger(__name__)

WINDOW = 1000
"""Deliveries on their way to the broker at most."""
SETTLE_EVERY_S = 0.25
DRAIN_S = 5.0
"""How long the broker has to take what is on its way when the C2 is stopped."""
POLL_S = 1.0
LOOK_AFTER_EVERY_S = 3600
LONGEST_PAUSE_S = 300
"""Between two tries of what the broker refuses."""
STALE_S = 60
"""A command acknowledged by the broker later than this after it was sealed is sealed anew: it may be too old on arrival."""
REPORTS_AT_ONCE = 100
"""In one transaction, so that others who write are not kept waiting."""
REPORTS_WAITING = 10_000
_CHANCE = SystemRandom()
"""So that not all is tried again at the same instant."""
COMMAND_QOS = 2


class Courier:
    """Runs beside the API; one a process."""

    def __init__(
        self,
        store: Store,
        realm: Realm,
        transport: Transport,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._store = store
        self._realm = realm
        self._transport = transport
        self._tracer = tracer
        self._watching: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self.ear = Ear(store, realm, transport, self.wake)
        self._flying: set[Flight] = set()
        self._landed: list[Flight] = []
        self._reports: deque[Incoming] = deque()
        self._reported = asyncio.Event()
        self._intake = Intake(realm.suite, partial(store.read, senders))
        self.refused = self._intake.refused
        """Reports refused, by kind of error."""
        self.published: Counter[str] = Counter()
        """Publications, by what became of them at the broker."""
        self.alive_until = math.inf
        """Before this, by `time.monotonic`, no other C2 holds this one for dead; `e4c2.presence` says so."""
        self._gave_up = self._sends = self._drains = False
        self._sealing, self._opening = Outage("commands"), Outage("reports")
        self._settling, self._hearing = Outage("acknowledgements of the broker"), Outage("senders of reports")
        self._checking = Outage("checks and tidying of the database")

    @property
    def failure(self) -> str | None:
        """Why commands or reports wait for the token of the C2's own key; None: they do not."""
        return self._sealing.failure or self._opening.failure

    @property
    def may_be_dead(self) -> bool:
        """To others, which then serve its devices."""
        return time.monotonic() >= self.alive_until

    def wake(self) -> None:
        """Something was committed to the outbox."""
        self._woken.set()

    def give_up(self) -> None:
        """Let nothing leave any more that has not left, as another C2 may serve its devices by now."""
        self._gave_up = True
        if self._flying:
            log.warning("%d commands that wait to leave are given up, as another C2 may send them", len(self._flying))
        for flight in self._flying:
            for publication in flight.publications:
                publication.cancel()

    async def run(self) -> None:
        """Work until cancelled."""
        await self._store.write(begin, self._realm)
        await self.ear.turn()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send())
            tasks.create_task(self._settle())
            tasks.create_task(self.ear.run())
            tasks.create_task(self._listen())
            tasks.create_task(self._receive())
            tasks.create_task(self._look_after())

    async def drain(self) -> None:
        """Claim nothing more, and wait until the broker has what is on its way; what it does not take in time is given back."""
        self._drains = True
        self._woken.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._sends or self._flying or self._landed:  # noqa: ASYNC110  they end at three places
                    await asyncio.sleep(0.05)
        now = self._realm.clock()
        for flight in self._flying:
            flight.again_at = now
        with suppress(StorageError):  # then the next start finds them
            await self._store.write(settle, self._realm, *outcome(self._in_hand))

    @property
    def _in_hand(self) -> list[Flight]:
        return [*self._flying, *self._landed]

    async def _send(self) -> None:
        self._sends = True
        while not self._drains:
            self._woken.clear()
            self._gave_up = False
            sealed = await self._seal() if self._transport.connected and not self.may_be_dead else []
            publications = [publication for each in sealed for publication in self._launch(each)]
            if self._gave_up or self.may_be_dead:  # since, which after a pause of this process nobody has noticed yet
                self.give_up()  # before anything of it can leave
            if publications:
                watching = asyncio.create_task(self._watch(publications))
                self._watching.add(watching)
                watching.add_done_callback(self._watching.discard)
            if self._sealing.is_on:
                await asyncio.sleep(self._sealing.pause_s)
            elif len(sealed) < BATCH:
                await self._pause()
        self._sends = False

    async def _seal(self) -> list[Sealed]:
        """As much as there is room for, before any of it leaves: sealing and sending at the same time slow each other down."""
        sealed: list[Sealed] = []
        if not self._realm.keyring.seconds_left:  # the locksmith says so, and waits for the KMS
            return sealed
        with self._sealing.met():
            if self._sealing.is_on:  # what failed may have been the answer to a COMMIT, which was done all the same
                await self._store.write(reclaim, self._realm, self._in_hand)
            while (room := WINDOW - len(self._flying) - len(sealed)) > 0:
                batch = await self._store.write(self._realm.format.claim, self._realm, min(BATCH, room))
                sealed += batch
                if not batch:
                    break
        return sealed

    async def _pause(self) -> None:
        """Until something was committed; or a while, as deliveries may wait for their second."""
        with suppress(
            TimeoutError
        ):  # not wait_for: on Python 3.11 it can swallow a cancellation that comes with the event
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()

    async def _watch(self, publications: list[asyncio.Future[None]]) -> None:
        """Until the broker has acknowledged or refused them all."""
        with self._tracer.work("publish") as span:
            await asyncio.wait(publications)
            cancelled = sum(1 for each in publications if each.cancelled())
            errors = [error for each in publications if not each.cancelled() and (error := each.exception())]
            span.tell({"e4.publications": len(publications), "e4.publications_failed": cancelled + len(errors)})
        if errors:
            log.warning(
                "%d messages could not be published, and their commands are sent again in a while: %s",
                len(errors),
                errors[0],
            )

    def _launch(self, sealed: Sealed) -> Iterator[asyncio.Future[None]]:
        """Begin all publications of one delivery before any of the next, as they leave in the order in which they begin."""
        if sealed.payloads:
            flight = Flight(sealed, self._realm.clock())
            self._flying.add(flight)
            for payload in sealed.payloads:
                publication = asyncio.ensure_future(self._transport.publish(sealed.topic, payload, COMMAND_QOS))
                flight.publications.add(publication)
                publication.add_done_callback(partial(self._land, flight))
                yield publication

    def _land(self, flight: Flight, done: asyncio.Future[None]) -> None:
        flight.publications.remove(done)
        now = self._realm.clock()
        self.published["ended" if done.cancelled() else "failed" if done.exception() else "acknowledged"] += 1
        if done.cancelled():
            flight.again_at = now
        elif done.exception() is not None:
            flight.again_at = now + pause(1, LONGEST_PAUSE_S, flight.attempt) * _CHANCE.uniform(0.5, 1)
        if not flight.publications:
            if self._realm.format.commands_age and flight.again_at is None and now - flight.sealed_at > STALE_S:
                flight.again_at = now
            self._flying.remove(flight)
            self._landed.append(flight)
            if len(self._flying) + BATCH == WINDOW:
                self._woken.set()

    async def _settle(self) -> None:
        """Write down what the broker has, in batches: a transaction for each would cost more than the sending."""
        while True:
            await asyncio.sleep(SETTLE_EVERY_S)
            if landed := self._landed.copy():
                sent, lost = outcome(landed)
                with self._settling.met(), self._tracer.work("settle") as span:
                    span.tell({"e4.deliveries": len(landed)})
                    await self._store.write(settle, self._realm, sent, lost)
                if self._settling.is_on:
                    await asyncio.sleep(self._settling.pause_s)
                    continue
                del self._landed[: len(landed)]
                if lost:
                    self._woken.set()

    async def _look_after(self) -> None:
        """Now and then: is all still there, and nothing kept for ever."""
        while True:
            await asyncio.sleep(LOOK_AFTER_EVERY_S)
            with self._checking.met():
                await self._store.read(ledger.verify, self._realm.keyring)  # which takes long, and keeps nobody waiting
                await self._store.write(ledger.require_newest, self._realm.keyring)
                await self._store.read(deks.verify, self._realm)
                if await self._store.read(replicas.leads, self._realm):
                    await self._store.write(tidy, self._realm)
                    await self._thin()

    async def _thin(self) -> None:
        """Little at a time, so that nobody who writes is kept waiting."""
        after: bytes | None = b""
        while after is not None:
            numbers, after = await self._store.read(retention.overtaken, self._realm, after)
            for portion in portions(numbers):
                await self._store.write(retention.forget, portion)

    async def _listen(self) -> None:
        async for incoming in self._transport:
            admitted = False
            with self._hearing.met():
                admitted = await self._intake.admits(incoming)
            if not admitted:
                continue
            if len(self._reports) >= REPORTS_WAITING:
                self._intake.refuse(RateExceeded("more reports wait than can be kept", kind="overload"))
                continue
            self._reports.append(incoming)
            self._reported.set()
        raise TransportError("the transport was closed")

    async def _receive(self) -> None:
        while True:
            await self._reported.wait()
            self._reported.clear()
            while self._reports:
                batch = [self._reports.popleft() for _ in range(min(REPORTS_AT_ONCE, len(self._reports)))]
                if not await self._open(batch):
                    self._reports.extendleft(reversed(batch))
                    await asyncio.sleep(self._opening.pause_s)

    async def _open(self, batch: list[Incoming]) -> bool:
        """Whether they were taken: all, or none of them."""
        if not self._realm.keyring.seconds_left:
            return False
        with self._opening.met(), self._tracer.work("reports") as span:
            refused = await self._store.write(receive_all, self._realm, batch)
            span.tell({"e4.reports": len(batch), "e4.reports_refused": len(refused)})
            for error in refused:
                self._intake.refuse(error)
            if any(isinstance(error, UnknownKey) for error in refused):
                self._intake.doubt()
            self._woken.set()
        return not self._opening.is_on


def begin(db: sa.Connection, realm: Realm) -> None:
    """After a start: go on with what was interrupted."""
    replicas.resume(db, realm)
    tidy(db, realm)


def tidy(db: sa.Connection, realm: Realm) -> None:
    """Keep nothing for ever that is of no use any more. Raises: KmsUnavailable."""
    expire(db, realm)
    retention.prune(db, realm)
    for forget in (tokens.prune, enrolments.prune):
        try:
            forget(db, realm)
        except Tampered as error:  # of no harm: nobody is let in by it
            log.error("expired tokens stay on record: %s", error)
