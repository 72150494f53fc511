# SPDX-License-Identifier: Apache-2.0
"""A locksmith at work: a fleet, two KMSes, and what a test asks of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import sqlalchemy as sa

from e4c2 import deks, resealing
from e4c2.locksmith import Locksmith
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4kms import file as kek_file
from e4kms.deks import Dek, Purpose
from e4kms.keyring import UNLIMITED, Lease
from tests.c2.world import World
from tests.kms.memory import MemoryKms

SPARE = "memory:spare"
PATIENCE_S = 20.0


class Shop:
    """A fleet, its locksmith, and two KMSes: the file it began with, and a spare one."""

    def __init__(self, world: World, lease: Lease = UNLIMITED) -> None:
        self.world, self.lease = world, lease
        self.file = world._kek_uri
        self.spare = MemoryKms()
        self.kmses: dict[str, Any] = {self.file: kek_file.open_kms(self.file), SPARE: self.spare}
        self.database_id = world.store.run(lambda db: db.execute(sa.text("SELECT database_id FROM realm")).scalar_one())
        self.hire()

    def hire(self) -> None:
        """A locksmith for one event loop."""
        world = self.world
        self.locksmith = Locksmith(world.store, world.realm, self.database_id, self.kmses, self.lease)

    def do(self, work: Callable[[Locksmith], Awaitable[Any]]) -> Any:
        self.hire()

        async def ask() -> Any:
            return await work(self.locksmith)

        return asyncio.run(ask())

    def work_until(self, done: Callable[[], bool]) -> None:
        """Let the locksmith work until ``done``."""

        self.hire()

        async def working() -> None:
            task = asyncio.create_task(self.locksmith.run())
            deadline = time.monotonic() + PATIENCE_S
            while not await asyncio.to_thread(done) and time.monotonic() < deadline and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(working())
        assert done()

    def add_spare(self) -> None:
        for dek in self.stored():
            self.do(partial(Locksmith.add_wrap, purpose=dek.purpose, version=dek.version, uri=SPARE, first=False))

    def stored(self) -> list[Dek]:
        return self.world.store.run(deks.load)

    def states(self, purpose: Purpose) -> list[str]:
        return [dek.state.value for dek in self.stored() if dek.purpose is purpose]

    def behind(self) -> int:
        counts = self.world.do(resealing.behind)
        return counts[Purpose.RECORDS] + counts[Purpose.AUTHORITY]

    def restart(self, *uris: str) -> None:
        """As a new process with these KMSes."""
        self.world.store.close()
        self.world.store = Store(self.world.database)
        kmses = {uri: self.kmses[uri] for uri in uris or self.kmses}
        self.world.realm = self.world.store.run(open_realm, self.world.suite, kmses, self.world.clock)
