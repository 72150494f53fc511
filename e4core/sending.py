# SPDX-License-Identifier: Apache-2.0
"""When own messages claim to be sent: back-dated, and never so that two of them have the same bytes (`wire.md` section 13).

AES-SIV is deterministic, so equal payloads of one second are equal messages, and a receiver takes the second for a replay. The
timestamp of such a one steps to another second. The tags of 300 seconds, 65,536 at most a topic, are remembered for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from e4core.errors import NotFresh, RateExceeded, TooOld
from e4core.replay import ReplayMemory
from e4core.state import State

BACKDATE_S = 2
"""Because e4go tolerates no sender ahead of it."""
STEP_BACK_S = 300
"""Half the time for which a message is acceptable is left for its way."""
CAPACITY = 65_536
PATIENCE_S = 60
"""What is over within this time is worth waiting for."""

Seal = Callable[[bytes, bytes, bytes], bytes]


class Sending:
    """Timestamps of one client. Exact over restarts too, unless a crash *and* a clock set back come together."""

    __slots__ = ("_begun", "_floor", "_memories", "begins", "ends", "header", "sent")

    def __init__(self) -> None:
        self.begins = self.ends = 0.0
        """From when to when on the own clock the others below hold: one second."""
        self.sent = 0
        self.header = b""
        self._begun = False
        self._floor = 0
        self._memories: dict[bytes, ReplayMemory] = {}

    def memory(self, topic: bytes) -> ReplayMemory:
        """What was sent on ``topic``."""
        return self._memories.setdefault(topic, ReplayMemory(0, CAPACITY))

    def turn_to(self, second: int, state: State) -> State:
        """Choose the timestamp of this second; at first, stay clear of every one that an earlier run may have used.

        Returns: the state to save before anything is sent.
        Raises: RateExceeded, TooOld: the clock was set back, or this was started several times within a second.
        """
        if not self._begun:
            floor = max(state.sent, second - BACKDATE_S)
            if floor >= second:
                raise _set_back(floor + 1 - second)
            state = replace(state, sent=floor + 1)
            self._floor = floor
        return state

    def begin(self, second: int) -> None:
        """Go on with the second that `turn_to` has allowed."""
        self._begun = True
        self.begins, self.ends = float(second), second + 1.0
        self.sent = max(second - BACKDATE_S, self._floor + 1)
        self.header = self.sent.to_bytes(8, "little")

    def elsewhere(self, memory: ReplayMemory, seal: Seal, payload: bytes) -> tuple[int, bytes, bytes]:
        """The same bytes were sent before: the nearest earlier second in which they were not, else a later one.

        Returns: the second, header, AEAD output.
        Raises: RateExceeded: there is none. TooOld: nor soon, as the clock was set back to a time of which all is forgotten.
        """
        oldest = max(self._floor, self.sent - STEP_BACK_S)
        for second in (*range(self.sent - 1, oldest, -1), *range(self.sent + 1, int(self.ends))):
            header = second.to_bytes(8, "little")
            sealed = seal(b"", payload, header)
            try:
                memory.accept(sealed[:16], second, oldest)
            except NotFresh:
                continue
            return second, header, sealed
        wait_s = max(self._floor, memory.floor) + 1 - int(self.begins)
        raise _set_back(wait_s) if wait_s > 0 else RateExceeded

    def newest(self, at_least: int) -> int:
        """The last timestamp used."""
        return max([at_least, *(memory.newest for memory in self._memories.values())])

    def forget(self, topic: bytes, horizon: float) -> bool:
        """Forget a topic that is gone, if all that was sent on it is too old anyway; whether it is forgotten."""
        memory = self._memories.get(topic)
        if memory is not None and memory.newest >= horizon:
            return False
        self._memories.pop(topic, None)
        return True


def _set_back(wait_s: int) -> RateExceeded | TooOld:
    text = f"the clock was set back, and what was sent at this time may not be sent again; wait {wait_s} s, or reset the clock"
    return RateExceeded(text) if wait_s <= PATIENCE_S else TooOld(text)
