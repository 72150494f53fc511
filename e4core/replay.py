# SPDX-License-Identifier: Apache-2.0
"""The bounded memory of what was already accepted (`wire.md` section 13).

One set of tags per second, and a *floor* that only rises: what was sent at or before it is refused, so that forgetting never
opens a door. In a full memory a tag costs 80 to 155 bytes, by how full the sets of the seconds are, measured with CPython 3.11:
65,536 tags take 5 to 10 MB, 8,192 tags 0.7 to 1.3 MB. How many memories there are: `wire.md` section 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush

from e4core.errors import Replayed, TooOld


class ReplayMemory:
    """Accepts each (tag, second) once. Cost of an accept: constant; a new second: logarithmic in the seconds held."""

    __slots__ = ("_capacity", "_count", "_order", "_seconds", "floor", "room", "second", "tags")

    def __init__(self, floor: int, capacity: int) -> None:
        self.floor = floor
        self._capacity = capacity
        self._count = 0  # tags in all seconds but the current one
        self._seconds: dict[int, set[bytes]] = {}
        self._order: list[int] = []
        self.second = -1
        """The current second, the one that `accept` is quick in; ``tags`` are of it, and ``room`` is how many it may have."""
        self.tags: set[bytes] = set()
        self.room = capacity

    def accept(self, tag: bytes, sent: int, horizon: float) -> None:
        """Remember ``tag``, sent at second ``sent``; what was sent before ``horizon`` is refused elsewhere, so forgotten.

        Call it only after full authentication, or anybody can fill it.
        Raises: Replayed: known. TooOld: sent at or before the floor.
        """
        if sent != self.second:
            self._turn_to(sent, horizon)
        tags = self.tags
        size = len(tags)
        tags.add(tag)
        if len(tags) == size:
            raise Replayed
        if size >= self.room:
            self._forget_oldest()

    def _turn_to(self, sent: int, horizon: float) -> None:
        """Make ``sent`` the current second."""
        if sent <= self.floor:
            raise TooOld("sent before the oldest message that is still remembered")
        while self._order and self._order[0] < horizon:
            self._forget_oldest()
        if sent not in self._seconds:
            heappush(self._order, sent)
            self._seconds[sent] = set()
        self._count += len(self.tags)
        self.second = sent
        self.tags = self._seconds[sent]
        self._count -= len(self.tags)
        self.room = self._capacity - self._count

    def _forget_oldest(self) -> None:
        oldest = heappop(self._order)
        tags = self._seconds.pop(oldest)
        if oldest == self.second:
            self.second = -1
            self.tags = set()
        else:
            self._count -= len(tags)
        self.room = self._capacity - self._count
        self.floor = max(self.floor, oldest)

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return self._count + len(self.tags)

    @property
    def newest(self) -> int:
        """The last second of which anything is known."""
        return max(self._seconds, default=self.floor)

    def seconds(self) -> Iterator[tuple[int, frozenset[bytes]]]:
        """All that is remembered, oldest second first, for the saved state."""
        return ((second, frozenset(self._seconds[second])) for second in sorted(self._seconds))

    def restore(self, seconds: Mapping[int, frozenset[bytes]]) -> None:
        """Take back what `seconds` gave; what does not fit raises the floor as always."""
        for second, tags in sorted(seconds.items()):
            for tag in tags:
                if second > self.floor:
                    self.accept(tag, second, 0)
