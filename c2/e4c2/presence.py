# SPDX-License-Identifier: Apache-2.0
"""The heartbeat of this process among those that share its database."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress

import sqlalchemy as sa

from e4c2 import replicas
from e4c2.delivery import Courier
from e4c2.locksmith import Locksmith
from e4c2.replicas import BEAT_EVERY_S, DEAD_AFTER_S, Watch
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4core.errors import StorageError

log = logging.getLogger(__name__)

GIVES_UP_AFTER_S = 12.0
"""Sooner than others hold this one for dead (`DEAD_AFTER_S`)."""
LOOKS_EVERY_S = 0.5


class Presence:
    """Runs beside the courier."""

    def __init__(self, store: Store, realm: Realm, courier: Courier, locksmith: Locksmith) -> None:
        self._store = store
        self._realm = realm
        self._courier = courier
        self._locksmith = locksmith
        self._watch = Watch(DEAD_AFTER_S if store.is_shared else 0)
        self._failure = ""
        self._beaten: float | None = None
        """When the last beat that was done began, by the clock of this machine that is never set back."""

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._go_on())
                if self._store.is_shared:
                    tasks.create_task(self._doubt())
        finally:
            with suppress(StorageError):
                await self._store.write(replicas.leave, self._realm)

    async def _go_on(self) -> None:
        while True:
            await self._try()
            await asyncio.sleep(BEAT_EVERY_S)

    async def _doubt(self) -> None:
        """Keep no device that cannot be served from here, and none that others may serve by now."""
        linked = time.monotonic()
        while True:
            now = time.monotonic()
            if self._courier.ear.can_hear:
                linked = now
            if self._beaten is not None and now - min(linked, self._beaten) >= GIVES_UP_AFTER_S:
                self._courier.give_up()
            await asyncio.sleep(LOOKS_EVERY_S)

    async def _try(self) -> None:
        try:
            await self._beat()
        except StorageError as error:  # the others will say that this one is dead, if it lasts
            if str(error) != self._failure:
                log.error("this C2 cannot tell the others that it is at work: %s", error)
            self._failure = str(error)
        else:
            self._failure = ""

    async def _beat(self) -> None:
        ear = self._courier.ear
        begun = time.monotonic()
        if await self._is_all_well():
            self._beaten = begun
        else:
            await self._beat_in_turn(begun)
        if self._store.is_shared:
            ear.should(await self._store.read(replicas.hears, self._realm))

    async def _is_all_well(self) -> bool:
        """Whether the beat was all that is to be done. It waits for no turn: else who writes much would seem to be dead."""
        if not self._store.is_shared or self._beaten is None:
            return False
        told = (self._locksmith.held, self._courier.ear.can_hear)
        if not await self._store.write_own(replicas.tick, self._realm, *told):
            return False
        return not self._watch.dead(await self._store.read(replicas.others, self._realm))

    async def _beat_in_turn(self, begun: float) -> None:
        told = (self._watch, self._locksmith.held, self._courier.ear.can_hear)
        known, dead = await self._store.write(_beat, self._realm, *told)
        if self._beaten is not None and not known:
            log.warning("the others held this C2 for dead")
            self._courier.give_up()
        self._beaten = begun
        for each in sorted(dead):
            log.warning("the C2 %s is not at work any more; what it had in hand is sent again", each.hex())
        if dead:
            self._courier.wake()


def _beat(db: sa.Connection, realm: Realm, watch: Watch, deks: bytes, linked: bool) -> tuple[bool, set[bytes]]:
    """Whether the others held this one for alive until now; and as `replicas.beat`."""
    return replicas.is_known(db, realm), replicas.beat(db, realm, watch, deks, linked)
