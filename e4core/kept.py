# SPDX-License-Identifier: Apache-2.0
"""What a client of Format 1 is made of: its state, what is ready for it, and how both change together."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from e4core import order, transition
from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.message import WINDOW_S
from e4core.ready import Memories, Ready, Topic
from e4core.state import State
from e4core.suite import Channel, Suite


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a device tolerates, beyond what the protocol fixes."""

    skew_s: float = 30
    """Seconds that a sender's clock may be ahead."""
    repeats: frozenset[str] = frozenset()
    """Topics on which a message equal to an earlier one is delivered, flagged, rather than refused: several publishers of
    ``sk`` that send the same bytes in the same second look like a replay."""

    def __post_init__(self) -> None:
        if not 0 <= self.skew_s <= WINDOW_S:
            raise InvalidInput(f"the skew is 0 to {WINDOW_S} seconds")


class Kept:
    """State of one device. Whatever changes it is saved first, and where that fails nothing has changed."""

    def __init__(
        self,
        suite: Suite,
        state: State,
        save: Callable[[State], None],
        tolerance: Tolerance = Tolerance(),
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Start from ``state`` and save it at once as running.

        Args: save: writes the state so that it survives a crash; raising refuses whatever was being done.
        Raises: UnsupportedSuite: the state is of another suite. InvalidInput (``bad_key``).
        """
        if state.suite != suite.name:
            raise UnsupportedSuite(f"the state is of suite {state.suite}, not {suite.name}")
        self.suite = suite
        self.tolerance = tolerance
        self._skew = tolerance.skew_s
        self._save = save
        self._random = random
        self._by_name: dict[str, Topic] = {}
        self._nonce = b""
        self._synchronised = False
        self._already = float("-inf")
        self._declined_tags: set[bytes] = set()
        self._closed = False
        self._ready: Ready | None = None
        self._state: State
        self._channel: Channel
        self._memories: Memories
        memories = Memories(suite, state.seen if state.clean else ())
        floor = state.floor if state.clean else max(state.floor, state.mark)
        self._adopt(replace(state, clean=False, seen=(), floor=floor), memories)

    @property
    def state(self) -> State:
        """What is saved; `close` completes it."""
        return self._state

    @property
    def clock_offset_s(self) -> float:
        """Seconds by which the C2 corrects this device's clock; Format 1 has no such correction."""
        return 0.0

    def close(self) -> None:
        """Stop in order: save the replay memory, so that the next start need not refuse what is recent. Then it is unusable.

        Closing it again does nothing.
        """
        if self._closed:
            return
        sent = self._sending.newest(self._state.sent)
        self._keep(replace(self._state, clean=True, seen=self._memories.seen(), sent=sent))
        self._closed = True
        self._by_name.clear()

    def erase_expired(self, now: float) -> None:
        """Erase previous topic keys whose grace is over, here and in the saved state; saves only if there are any.

        It happens by itself whenever something is saved. Call it now and then where that may not come soon.
        """
        self._keep(transition.faded(self._state, now))

    def reset_clock(self, now: float) -> None:
        """Forget timestamps beyond ``now``, after this device *and* a sender ran with a clock far ahead.

        Messages that are already under way are then refused, so that none can be replayed.
        """
        latest = int(now + self._skew)
        sent = min(self._sending.newest(self._state.sent), int(now))
        reset = replace(order.reset(self._state, latest), floor=latest, mark=latest, sent=sent)
        self._adopt(reset, Memories(self.suite))

    def _keep(self, state: State) -> None:
        """Save a state that differs in nothing but times, and perhaps in previous keys that were erased."""
        self._check_open()
        if state.topics is not self._state.topics:
            self._adopt(state, self._memories)
        elif state is not self._state:
            self._save(state)
            self._state = state
            self._mark = state.mark

    def _adopt(self, state: State, memories: Memories) -> None:
        """Make everything ready for ``state``, save it, and only then switch to it."""
        self._check_open()
        former = self._ready if self._ready is not None and memories is self._memories else None
        ready = Ready.make(self.suite, state, memories, former)
        self._save(state)
        self._state = state
        self._memories = memories
        self._ready = ready
        self._by_name.clear()
        # copies for the hot path: an attribute of an attribute costs twice
        self._mark = state.mark
        self._sending = memories.sending
        self._channel, self._topics, self._ids = ready.channel, ready.topics, ready.ids
        layout = ready.layout
        self._shortest, self._too_short = layout.shortest, layout.too_short
        self._sealed, self._sender = layout.sealed, layout.sender
        self._finish, self._authenticate = layout.finish, layout.authenticate

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInput("this client was closed; make a new one from the saved state", kind="closed")
