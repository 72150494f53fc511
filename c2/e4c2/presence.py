# SPDX-License-Identifier: Apache-2.0
"""The heartbeat of this process among those that share its database."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
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
        self._dead: Mapping[bytes, int] = {}
        self._mourning = asyncio.Event()
        self._has_beaten = False

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._go_on())
                if self._store.is_shared:
                    tasks.create_task(self._bury())
                    tasks.create_task(self._doubt())
        finally:
            with suppress(StorageError):
                await self._store.write(replicas.leave, self._realm)

    async def _go_on(self) -> None:
        while True:
            await self._try(self._beat)
            await asyncio.sleep(BEAT_EVERY_S)

    async def _bury(self) -> None:
        """Take over from who seems to be dead, which waits for its turn; this one beats meanwhile."""
        while True:
            await self._mourning.wait()
            self._mourning.clear()
            await self._try(self._take_over)

    async def _doubt(self) -> None:
        """Keep no device that cannot be served from here, and none that others may serve by now."""
        linked = time.monotonic()
        while True:
            now = time.monotonic()
            if self._courier.ear.can_hear:
                linked = now
            if now - linked >= GIVES_UP_AFTER_S or self._courier.may_be_dead:
                self._courier.give_up()
            await asyncio.sleep(LOOKS_EVERY_S)

    async def _try(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except StorageError as error:  # the others will say that this one is dead, if it lasts
            if str(error) != self._failure:
                log.error("this C2 cannot tell the others that it is at work: %s", error)
            self._failure = str(error)
        else:
            self._failure = ""

    async def _take_over(self) -> None:
        self._tell(await self._store.write(replicas.bury, self._realm, self._dead))

    async def _beat(self) -> None:
        """Waiting for no turn, else those with most to do would seem to be dead; but who can write nothing is of no use."""
        is_at_work = self._has_beaten and self._store.unable_s < GIVES_UP_AFTER_S
        if not (self._store.is_shared and is_at_work and await self._tick()):
            await self._beat_in_turn()
        if self._store.is_shared:
            self._courier.ear.should(await self._store.write_own(replicas.hears, self._realm))

    async def _tick(self) -> bool:
        """Whether the others hold this one for alive."""
        begun, told = time.monotonic(), (self._locksmith.held, self._courier.ear.can_hear)
        counts = await self._store.write_own(replicas.tick, self._realm, *told)
        if counts is None:
            self._courier.give_up()  # at once: the beat in turn may wait for long
            return False
        self._beaten(begun)
        if dead := self._watch.dead(counts):
            self._dead = {each: counts[each] for each in dead}
            self._mourning.set()
        return True

    async def _beat_in_turn(self) -> None:
        begun, told = time.monotonic(), (self._watch, self._locksmith.held, self._courier.ear.can_hear)
        known, dead = await self._store.write(_beat, self._realm, *told)
        if self._has_beaten and not known:
            log.warning("the others held this C2 for dead")
            self._courier.give_up()
        self._beaten(begun)
        self._tell(dead)

    def _beaten(self, begun: float) -> None:
        """Args: begun: when the beat did, by a clock that is never set back: nobody has seen it earlier."""
        self._has_beaten = True
        if self._store.is_shared:
            self._courier.alive_until = begun + GIVES_UP_AFTER_S

    def _tell(self, dead: Collection[bytes]) -> None:
        for each in sorted(dead):
            log.warning("the C2 %s is not at work any more; what it had in hand is sent again", each.hex())
        if dead:
            self._courier.wake()


def _beat(db: sa.Connection, realm: Realm, watch: Watch, deks: bytes, linked: bool) -> tuple[bool, set[bytes]]:
    """Whether the others held this one for alive until now; and as `replicas.beat`."""
    return replicas.is_known(db, realm), replicas.beat(db, realm, watch, deks, linked)
