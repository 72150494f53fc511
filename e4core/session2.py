# SPDX-License-Identifier: Apache-2.0
"""What is remembered of one sender's session of Format 2: its sequences, and what opens its messages (`format2.md` section 2)."""

from __future__ import annotations

from collections.abc import Callable

from e4core.errors import AuthenticationFailed, Replayed
from e4core.keys import ClientId
from e4core.state2 import WINDOW, Epoch

_MASK = (1 << WINDOW) - 1

Open = Callable[[bytes, bytes, bytes], bytes]
Verify = Callable[[bytes, bytes, float], None]


def _not_ready(_nonce: bytes, _ciphertext: bytes, _associated_data: bytes) -> bytes:
    raise AuthenticationFailed


def validity(epoch: Epoch) -> float:
    """Seconds for which messages are acceptable."""
    return float(epoch.validity_s or "inf")


class Session:
    """One sender's messages of one run under one epoch; in order and without gaps, `missing` is 0 and `due` rises by one."""

    __slots__ = (
        "begins",
        "due",
        "ends",
        "epoch",
        "floor",
        "header",
        "missing",
        "newest",
        "open",
        "ready",
        "sender",
        "validity",
        "verify",
        "who",
    )

    def __init__(self, epoch: int, who: bytes, due: int, validity: float, floor: int) -> None:
        self.epoch = epoch
        self.who = who
        """Sender id (16) | session (8)."""
        self.sender = ClientId(who[:16])
        self.due = due
        """Highest sequence accepted, and 1."""
        self.missing = 0
        """Bit k: the sequence due - 2 - k was not accepted yet."""
        self.newest = 0
        self.validity = validity
        """Seconds for which its messages are acceptable, may be infinite."""
        self.floor = floor
        """Nothing sent at or before this is accepted: that from which it came into memory, or would come now."""
        self.open: Open | None = None
        """Opens its messages; None: made when one comes."""
        # of the newest second, for the hot path; see `TopicMemory.recent`
        self.header = b""
        self.begins = self.ends = 0.0
        """From when to when on the own clock messages are acceptable that begin with ``header``."""
        self.ready: Open = _not_ready
        self.verify: Verify | None = None

    def check(self, sequence: int) -> None:
        """Raises: Replayed: accepted before, or below the window."""
        back = self.due - 2 - sequence
        if back >= -1 and not (0 <= back < WINDOW and self.missing >> back & 1):
            raise Replayed

    def accept(self, sequence: int) -> None:
        """Remember a sequence that passed `check`."""
        ahead = sequence + 1 - self.due
        if ahead <= 0:
            self.missing &= ~(1 << (-ahead - 1))
            return
        skipped = (1 << min(ahead - 1, WINDOW)) - 1
        self.missing = (self.missing << min(ahead, WINDOW) | skipped) & _MASK
        self.due = sequence + 1

    def lose_key(self) -> None:
        """Forget all that was derived from the key of the epoch."""
        self.open, self.ready = None, _not_ready

    def begin(self, sequence: int) -> None:
        """The first one that is accepted; those below it may still come, if they were sent after the floor."""
        self.due, self.missing = 0, 0
        self.accept(sequence)
