# SPDX-License-Identifier: Apache-2.0
"""Which reports are worth a transaction (`format2.md` section 4): whom the broker lets in can publish them, of any id, at any rate.

So all that can be said of one without the database and without a key is said first, in this order: topic, length, version and
direction; the id is known; token buckets, of that client and of all. What is refused is counted by kind, logged now and then, and
never answered. Memory: an id and a bucket for each client.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable

from e4c2.reports import sender
from e4core.errors import E4Error, InvalidInput, RateExceeded, Tampered, UnknownKey
from e4core.suite import Suite
from e4core.transport import Incoming

log = logging.getLogger(__name__)

PER_CLIENT = (1_000, 10.0)
"""Reports at once, and then a second. A device of Format 1 acknowledges each command, and gets up to two for each of its topics."""
FOR_ALL = (20_000, 5_000.0)
"""100,000 devices that say hello within 30 s, and acknowledge the answers, are 6,667 a second: a few must say it once more."""
REREADS = (10, 0.2)
"""Of the ids of all clients, which of 100,000 takes some 100 ms; in between, a client that is new must report once more."""
LOGGED = (1, 1 / 60)
"""Lines about refused reports of one kind."""


class Limit:
    """Token buckets of one size, each with a name; a bucket that is full takes no memory after `sweep`."""

    def __init__(self, burst: int, per_s: float) -> None:
        """Args: burst: tokens in a full bucket.  per_s: tokens that it gets a second."""
        self._fills_in = burst / per_s
        self._costs = 1 / per_s
        self._full_at: dict[Hashable, float] = {}
        """When a bucket will be full again, if nothing more is taken: all that need be known of it."""

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, now: float, of: Hashable = None) -> bool:
        """Whether there was a token. Args: now: seconds, of a clock that is never set back."""
        full_at = max(self._full_at.get(of, now), now) + self._costs
        if full_at > now + self._fills_in:
            return False
        self._full_at[of] = full_at
        return True

    def sweep(self, now: float) -> None:
        """Forget the buckets that are full."""
        self._full_at = {of: full_at for of, full_at in self._full_at.items() if full_at > now}


class Intake:
    """Attributes: refused: reports refused, here and later, by kind of error."""

    def __init__(
        self, suite: Suite, read: Callable[[], Awaitable[frozenset[bytes]]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: read: the ids of all clients.  clock: seconds, never set back."""
        self.refused: Counter[str] = Counter()
        self._suite = suite
        self._read = read
        self._clock = clock
        self._ids: frozenset[bytes] = frozenset()
        self._doubted = False
        self._rereads = Limit(*REREADS)
        self._each = Limit(*PER_CLIENT)
        self._all = Limit(*FOR_ALL)
        self._lines = Limit(*LOGGED)

    async def admits(self, incoming: Incoming) -> bool:
        """Whether a report is to be opened; else it is counted. Raises: StorageError."""
        try:
            await self._check(incoming)
        except (InvalidInput, UnknownKey, RateExceeded) as error:
            self.refuse(error)
            return False
        return True

    def refuse(self, error: E4Error) -> None:
        """Count a report that was refused."""
        self.refused[error.kind] += 1
        if self._lines.take(self._clock(), error.kind):
            level = logging.ERROR if isinstance(error, Tampered) else logging.INFO
            log.log(level, "report refused: %s (%s, %d times)", error, error.kind, self.refused[error.kind])

    def doubt(self) -> None:
        """A client that was known is not there any more."""
        self._doubted = True

    async def _check(self, incoming: Incoming) -> None:
        of = sender(self._suite, incoming)
        if not await self._knows(of):
            raise UnknownKey("no client has this id")
        now = self._clock()
        if not self._each.take(now, of):
            raise RateExceeded(f"reports of {of.hex()} come too often")
        if not self._all.take(now):
            raise RateExceeded("reports of all clients together come too often", kind="overload")

    async def _knows(self, of: bytes) -> bool:
        """Clients come and go, by this process or another: so the ids are read anew where they may be old, but not too often."""
        if self._doubted or of not in self._ids:
            now = self._clock()
            if self._rereads.take(now):
                self._doubted = False
                self._ids = await self._read()
                self._each.sweep(now)
        return of in self._ids
