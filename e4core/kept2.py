# SPDX-License-Identifier: Apache-2.0
"""What a client of Format 2 is made of: its state, what is ready for it, and how both change together."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from e4core import transition2
from e4core.errors import ClockUnset, InvalidInput, UnsupportedSuite
from e4core.kept import Tolerance
from e4core.ready2 import Ready2, Topic, topics_of
from e4core.replay2 import Memories2
from e4core.sending2 import HEADER_LEN, Outgoing, OwnSession, follow_forks, nonces
from e4core.session2 import Session
from e4core.state2 import State2
from e4core.suite import Suite


class Kept2:
    """State of one device. Whatever changes it is saved first, and where that fails nothing has changed."""

    def __init__(
        self,
        suite: Suite,
        state: State2,
        save: Callable[[State2], None],
        tolerance: Tolerance = Tolerance(),  # noqa: B008  # immutable
        random: Callable[[int], bytes] = os.urandom,
        clock_is_trusted: bool = True,
    ) -> None:
        """Start from ``state`` and save it at once as running.

        Args: save: writes the state so that it survives a crash; raising refuses whatever was being done.  clock_is_trusted:
        False: nothing is protected or unprotected before the C2 has told the time.
        Raises: UnsupportedSuite: the state is of another suite. InvalidInput (``bad_key``).
        """
        if state.suite != suite.name:
            raise UnsupportedSuite(f"the state is of suite {state.suite}, not {suite.name}")
        self.suite = suite
        self.tolerance = tolerance
        self._skew = tolerance.skew_s
        self._save = save
        self._random = random
        self._clock_is_trusted = self._has_clock = clock_is_trusted
        self._offset_s = 0.0
        self._session: OwnSession | None = None
        self._outgoing: dict[str, Outgoing] = {}
        self._recent: dict[str, dict[bytes, Session]] = {}
        self._hellos: dict[bytes, float] = {}
        self._synchronised = False
        self._already = float("-inf")
        self._closed = False
        # copies for the hot path: an attribute of an attribute costs twice
        self._nonce = nonces(suite.aead)
        self._signature_len = suite.signature.signature_len if suite.signature else 0
        self._shortest = HEADER_LEN + suite.aead.tag_len + self._signature_len
        self._ready: Ready2
        self._state: State2
        self._memories: Memories2
        self._topics: dict[bytes, Topic] = {}
        signed = suite.signature is not None
        floor = state.floor if state.clean else max(state.floor, state.mark)
        started = replace(state, clean=False, seen=(), floor=floor, starts=(state.starts + 1) % (1 << 64))
        self._ready = Ready2.make(suite, started, None)
        self._adopt(started, memories=Memories2(signed, state.seen if state.clean else ()))
        follow_forks(self)

    @property
    def state(self) -> State2:
        """What is saved; `close` completes it."""
        return self._state

    @property
    def clock_offset_s(self) -> float:
        """Seconds to add to the device's own clock before it is used as ``now``; 0 while it is trusted."""
        return self._offset_s

    def close(self) -> None:
        """Stop in order: save the replay memory, so that the next start need not refuse what is recent. Then it is unusable.

        Closing it again does nothing.
        """
        if self._closed:
            return
        self._keep(replace(self._state, clean=True, seen=self._memories.seen()))
        self._closed = True
        self._recent.clear()
        self._outgoing.clear()

    def erase_expired(self, now: float) -> None:
        """Erase keys that are over, here and in the saved state, and forget what is too old to be accepted again."""
        after = transition2.faded(self._state, self._second(now))
        if after is not self._state:
            self._adopt(after, self._horizon(now))
        else:
            self._check_open()
            self._memories.age(self._horizon(now))

    def reset_clock(self, now: float) -> None:
        """Lower mark and floors that lie beyond ``now``, after this device *and* a sender ran with a clock far ahead.

        What is remembered stays refused. What was accepted beyond ``now`` and is forgotten (already, or by a crash later on) is
        accepted once more when its time has come, unless the keys of its topic are renewed before (`format2.md` section 2.7).
        """
        state, latest = self._state, int(now + self._skew)
        self._keep(replace(state, floor=min(state.floor, latest), mark=min(state.mark, latest)))
        self._memories.lower(latest)

    def forked(self) -> None:
        """Called in the child of a fork: what the parent protects there must not be protected here under the same session."""
        self._session = None
        self._outgoing.clear()

    def _second(self, now: float) -> int:
        """For what ends; 0 while there is no clock, so that only what ends at once does."""
        return int(now) if self._has_clock else 0

    def _horizon(self, now: float) -> float:
        return now - self._skew if self._has_clock else float("-inf")

    def _keep(self, state: State2) -> None:
        """Save a state that differs in nothing but times."""
        self._check_open()
        self._save(state)
        self._state = state
        self._mark = state.mark

    def _adopt(self, state: State2, horizon: float = float("-inf"), *, memories: Memories2 | None = None) -> None:
        """Make everything ready for ``state``, save it, and only then switch to it.

        Args: horizon: what was acceptable until then is not any more.  memories: in place of the present ones.
        """
        self._check_open()
        memories = memories or self._memories
        state = replace(state, floor=memories.floor(state))
        ready = Ready2.make(self.suite, state, self._ready)
        self._save(state)
        self._state = state
        self._mark = state.mark
        self._ready = ready
        self._memories = memories
        memories.follow(state, horizon)
        self._topics = topics_of(self.suite, state, memories)
        self._recent.clear()
        self._outgoing.clear()
        self._authors, self._sign = ready.authors, ready.sign

    def _check_clock(self) -> None:
        if not self._has_clock:
            raise ClockUnset

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidInput("this client was closed; make a new one from the saved state", kind="closed")
