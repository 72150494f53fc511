# SPDX-License-Identifier: Apache-2.0
"""The notary: writes down the refusals of each minute, signs checkpoints of the audit log, and publishes them to whoever witnesses.

A checkpoint is published again at each start, as a crash may have come between signing and publishing; it says the same twice.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from itertools import count

from e4c2.audit import checkpoints, refusals
from e4c2.audit.checkpoints import Pace
from e4c2.audit.refusals import Refusals
from e4c2.audit.signing import Checkpoint
from e4c2.outages import Outage
from e4c2.recovery import restored
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4core.errors import KmsError, StorageError, Tampered
from e4core.transport import Retains, Transport

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
REFUSALS_EVERY = 60
"""Looks between two times that refusals are written."""


class Notary:
    """Runs beside the courier, in each C2 process; of several on one database, one makes each checkpoint."""

    def __init__(self, store: Store, realm: Realm, transport: Transport, topic: str, pace: Pace) -> None:
        """Args: topic: where checkpoints are published."""
        self._store = store
        self._realm = realm
        self._transport = transport
        self._topic = topic
        self._pace = pace
        self._made: Checkpoint | None = None
        self._signed = asyncio.Event()
        self._told: set[str] = set()
        self.refusals = Refusals()

    async def run(self) -> None:
        """Work until cancelled; what was counted until then is still written down."""
        self._signed.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep())
                tasks.create_task(self._publish())
        finally:
            with suppress(KmsError, StorageError):
                await self._write_refusals()

    async def _keep(self) -> None:
        for look in count(1):
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if look % REFUSALS_EVERY == 0:
                    await self._write_refusals()
                # nobody else waits for a turn to write when nothing is due
                if await self._store.read(checkpoints.is_due, self._realm, self._pace) and not await self._is_paused():
                    await self._sign()
                self._told.clear()
            except (KmsError, StorageError) as error:
                self._tell(error)

    async def _sign(self) -> None:
        made = await self._store.write(checkpoints.make, self._realm, self._pace)
        if made is not None:  # else another C2 was first
            self._made = made
            self._signed.set()

    async def _publish(self) -> None:
        publishing = Outage("checkpoints of the audit log")
        while True:
            await self._signed.wait()
            self._signed.clear()
            try:
                with publishing.met():
                    await self._publish_newest()
            except Tampered as error:
                self._tell(error)
            if publishing.is_on:
                await asyncio.sleep(publishing.pause_s)
                self._signed.set()

    async def _publish_newest(self) -> None:
        """And again while there is a newer one: what comes late takes the place of what another C2 has published meanwhile."""
        if await self._is_paused():
            return
        published = 0
        while (newest := await self._newest()) is not None and newest.number > published:
            await self._send(newest)
            published = newest.number

    async def _newest(self) -> Checkpoint | None:
        """Of all C2; the one that was made here also if somebody has taken it out of the database."""
        known = [self._made, await self._store.read(checkpoints.newest_signed, self._realm)]
        return max((each for each in known if each), key=lambda each: each.number, default=None)

    async def _send(self, checkpoint: Checkpoint) -> None:
        if isinstance(self._transport, Retains):
            await self._transport.publish_retained(self._topic, checkpoint.encoded())
        else:
            await self._transport.publish(self._topic, checkpoint.encoded())

    async def _is_paused(self) -> bool:
        """After a restore: what was published last says more than this database knows, and is to stay."""
        return await self._store.read(restored.is_paused, self._realm)

    def _tell(self, error: KmsError | StorageError) -> None:
        if error.kind not in self._told:
            self._told.add(error.kind)
            log.error("the audit log is not looked after: %s", error)

    async def _write_refusals(self) -> None:
        if not (taken := self.refusals.take()):
            return
        try:
            await self._store.write(refusals.record, self._realm, taken)
        except BaseException:
            self.refusals.give_back(taken)
            raise
