# SPDX-License-Identifier: Apache-2.0
"""The heartbeat of this process among those that share its database."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from e4c2 import replicas
from e4c2.delivery import Courier
from e4c2.locksmith import Locksmith
from e4c2.replicas import BEAT_EVERY_S, DEAD_AFTER_S, Watch
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4core.errors import StorageError

log = logging.getLogger(__name__)


class Presence:
    """Runs beside the courier."""

    def __init__(self, store: Store, realm: Realm, courier: Courier, locksmith: Locksmith) -> None:
        self._store = store
        self._realm = realm
        self._courier = courier
        self._locksmith = locksmith
        self._watch = Watch(DEAD_AFTER_S if store.is_shared else 0)
        self._failure = ""

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                await self._try()
                await asyncio.sleep(BEAT_EVERY_S)
        finally:
            with suppress(StorageError):
                await self._store.write(replicas.leave, self._realm)

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
        dead = await self._store.write(replicas.beat, self._realm, self._watch, self._locksmith.held)
        for each in sorted(dead):
            log.warning("the C2 %s is not at work any more; what it had in hand is sent again", each.hex())
        if dead:
            self._courier.wake()
