# SPDX-License-Identifier: Apache-2.0
"""Wakes who listens when there are new events, of this process at once, of others within a second.

It holds no events: each listener reads the log for itself, as fast as it likes, so that a slow one slows nobody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from e4c2.events import log
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4core.errors import RateExceeded, StorageError

POLL_S = 1.0
LOOK_PAUSE_S = 0.02
"""Between two looks, so that many changes a second cost few of them."""
PRUNE_EVERY_S = 3600
LISTENERS_EACH = 10
"""Of one principal at most."""
LISTENERS = 200
"""In all."""


@dataclass(slots=True, eq=False)
class Follower:
    """Somebody who listens. ``at``: number up to which events were taken."""

    at: int


class Feed:
    """One a process; ``closed``: the C2 is stopping, and whoever listens goes."""

    def __init__(self, store: Store, realm: Realm, kept_s: float) -> None:
        """Args: kept_s: how long events are kept."""
        self._store = store
        self._realm = realm
        self._kept_s = kept_s
        self._listeners: Counter[str] = Counter()
        self._followers: set[Follower] = set()
        self._newest = 0
        self._woken = asyncio.Event()
        self._moved = asyncio.Event()
        self.closed = False
        store.when_written(self._woken.set)

    @property
    def followers(self) -> int:
        """How many listen."""
        return len(self._followers)

    @property
    def behind(self) -> int:
        """Events that the slowest of them has not taken, by their numbers."""
        return max((self._newest - each.at for each in self._followers), default=0)

    def close(self) -> None:
        self.closed = True
        self._moved.set()

    @contextmanager
    def listen(self, who: str) -> Iterator[Follower]:
        """For as long as ``who`` follows the log, and tells how far. Raises: RateExceeded: too many do."""
        if self._listeners[who] >= LISTENERS_EACH or self._listeners.total() >= LISTENERS:
            raise RateExceeded(
                f"{LISTENERS_EACH} follow the events for you already, or {LISTENERS} in all; end another"
            )
        self._listeners[who] += 1
        self._woken.set()
        follower = Follower(self._newest)
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)
            self._listeners[who] -= 1
            self._listeners += Counter()  # without those who listen no more

    async def after(self, seen: int, within_s: float) -> None:
        """Return when there is an event after number ``seen``, the C2 stops, or ``within_s`` have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._newest <= seen and not self.closed:
                    await self._moved.wait()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            tasks.create_task(self._prune())

    async def _look(self) -> None:
        while True:
            self._woken.clear()
            if self._listeners:
                with suppress(StorageError):  # those who listen ask for themselves, and are told
                    self._move(await self._store.read(log.newest))
                await asyncio.sleep(LOOK_PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S if self._listeners else None):
                    await self._woken.wait()

    def _move(self, newest: int) -> None:
        if newest > self._newest:
            self._newest = newest
            self._moved.set()
            self._moved = asyncio.Event()

    async def _prune(self) -> None:
        while True:
            with suppress(StorageError):
                while await self._store.write(log.prune, self._realm, self._kept_s):
                    pass
            await asyncio.sleep(PRUNE_EVERY_S)
