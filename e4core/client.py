# SPDX-License-Identifier: Apache-2.0
"""A device: protects and unprotects messages, obeys the C2's commands, and remembers.

It does no I/O: the clock comes as ``now`` (Unix seconds with their fraction), what must survive a restart goes to ``save``.
One thread at a time may use a `Client`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from e4core import order, report, transition
from e4core.command import Command, RemoveTopic, decode
from e4core.errors import (
    AuthenticationFailed,
    E4Error,
    InvalidInput,
    NotFresh,
    Replayed,
    TooOld,
    UnknownKey,
    UnsupportedSuite,
)
from e4core.keys import check_topic_name
from e4core.message import GRACE_S, WINDOW_S, Message, check_window
from e4core.ready import Memories, Ready, Topic
from e4core.replay import ReplayMemory
from e4core.report import Ack, Hello, Outcome
from e4core.sending import STEP_BACK_S
from e4core.state import State
from e4core.suite import Channel, Suite

MARK_AHEAD_S = 5
ALREADY_EVERY_S = 10
"""A command that was applied before is acknowledged again once in this time (`format2.md` section 3)."""

DECLINED_KEPT = 1024

_int = int.from_bytes
_tuple = tuple.__new__


class Handled(NamedTuple):
    """What became of a command that was authentic."""

    outcome: Outcome
    command: Command | None
    error: E4Error | None
    report: bytes | None
    """Ack for the C2; None where the same was acknowledged before."""

    @property
    def commands(self) -> tuple[Command, ...]:
        return (self.command,) if self.command else ()

    @property
    def reports(self) -> tuple[bytes, ...]:
        return (self.report,) if self.report else ()


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


class Client:
    """One device of a fleet; see `e4core.state.new_state` and `e4device.statefile` for where its state comes from."""

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
    def synchronised(self) -> bool:
        """True once the C2 has answered the last `hello`."""
        return self._synchronised

    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        """Protect ``payload`` for everybody who holds the key of ``topic``.

        Layout: `wire.md` section 5 (24 B longer than the payload) or 6 (104 B). No two calls for a topic give the same bytes.
        Raises: UnknownKey (``topic_key_missing``). RateExceeded: equal payloads sent too fast; it goes away within a minute.
        TooOld: the clock was set back, and it would take longer. InvalidInput (``bad_topic``).
        """
        try:
            keys = self._by_name[topic]
        except KeyError:
            keys = self._find(topic)
        sending = self._sending
        if not sending.begins <= now < sending.ends:
            self._keep(transition.faded(sending.turn_to(int(now), self._state), now))
            sending.begin(int(now))
        header = sending.header
        sealed = keys.seal(b"", payload, header)
        tag, sent = sealed[:16], keys.sent
        if sent.second == sending.sent and tag not in sent.tags and len(sent.tags) < sent.room:
            sent.tags.add(tag)  # the usual case of what `_unlike_before` does, without its calls
        else:
            header, sealed = self._unlike_before(keys, payload, sealed)
        return self._finish(header, sealed)

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        """Check, open and remember one message of ``topic``; refused data changes nothing.

        Raises: UnknownKey (``topic_key_missing``, ``unknown_sender``). InvalidInput (``too_short``, ``bad_length``).
        InFuture, TooOld, Replayed. AuthenticationFailed (``bad_signature``, ``not_authentic``).
        """
        try:
            keys = self._by_name[topic]
        except KeyError:
            keys = self._find(topic)
        if len(data) < self._shortest:
            raise InvalidInput(f"a protected message has at least {self._shortest} bytes", kind=self._too_short)
        header = data[:8]
        sent = _int(header, "little")
        if not now - WINDOW_S <= sent <= now + self._skew:
            check_window(sent, now, WINDOW_S, self._skew)
        authenticate = self._authenticate
        if authenticate is not None:
            authenticate(data)
        sealed = data[self._sealed]
        try:
            payload = keys.open(b"", sealed, header)
        except AuthenticationFailed:
            payload = self._open_previous(keys, sealed, header, now)
        if authenticate is None:
            sender, memory = None, keys.memory
        else:
            sender = self._ids[data[self._sender]]
            memory = keys.memories.get(sender) or self._memories.new(keys.memories, bytes(sender), self._state.floor)
        if sent > self._mark:
            self._raise_mark(sent, memory, now)
        tag = sealed[:16]
        if sent == memory.second and tag not in memory.tags and len(memory.tags) < memory.room:
            memory.tags.add(tag)  # the usual case of what `_repeated` does, without its calls
            repeated = False
        else:
            repeated = self._repeated(memory, tag, sent, topic, now)
        # not Message(...): its own __new__ is a Python function, and costs as much again
        return _tuple(Message, (payload, sender, sender is not None, 0, sent, repeated, 0))

    def command(self, data: bytes, now: float) -> Handled:
        """Obey one command from the control topic; the state is saved before this returns.

        Raises: InvalidInput (``too_short``). InFuture. TooOld. AuthenticationFailed. And what ``save`` or a key in a token raises:
        then nothing was changed.
        """
        if len(data) <= 24:
            raise InvalidInput("a command has more than 24 bytes", kind="too_short")
        sent = _int(data[:8], "little")
        check_window(sent, now, WINDOW_S, self._skew)
        plain = self._channel.command_key.open(b"", data[8:], data[:8])
        tag = data[8:24]
        state = self._state
        try:
            order.check(state, tag, sent, now + self._skew)
        except TooOld as error:
            return self._declined(tag, Outcome.OUTDATED, error)
        except Replayed as error:
            return self._already_done(tag, error, now)
        try:
            command = decode(plain, self.suite)
            after = transition.apply(self.suite, state, command, now)
        except E4Error as error:
            if error.kind not in report.REFUSALS:
                raise
            return self._declined(tag, Outcome.REFUSED, error)
        self._obey(order.obeyed(after, tag, sent), now - WINDOW_S)
        if isinstance(command, RemoveTopic) and command.topic == self._nonce:
            self._nonce, self._synchronised = b"", True
        return self._handled(tag, Outcome.APPLIED, command)

    @property
    def clock_offset_s(self) -> float:
        """Seconds by which the C2 corrects this device's clock; Format 1 has no such correction."""
        return 0.0

    def hello(self, _now: float = 0) -> bytes:
        """Report that asks the C2 for a Sync, and through it for whatever this device misses."""
        self._nonce, self._synchronised = self._nonce or self._random(report.NONCE_LEN), False
        return self._report(Hello(self._digest(), self._nonce))

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

    # ------------------------------------------------------------------------------------------------- messages

    def _find(self, topic: str) -> Topic:
        """Slow path of the look-up by name; only names of topics that are held are kept."""
        self._check_open()
        check_topic_name(topic)
        keys = self._topics.get(self.suite.derive_id(topic))
        if keys is None:
            raise UnknownKey(
                "no key is held for this topic; the C2 sends it when it makes this client a member",
                kind="topic_key_missing",
            )
        self._by_name[topic] = keys
        return keys

    def _unlike_before(self, keys: Topic, payload: bytes, sealed: bytes) -> tuple[bytes, bytes]:
        """Header and AEAD output that were never sent before."""
        sending = self._sending
        try:
            keys.sent.accept(sealed[:16], sending.sent, sending.sent - STEP_BACK_S)
        except NotFresh:
            sent, header, sealed = sending.elsewhere(keys.sent, keys.seal, payload)
            if sent > max(self._state.sent, sending.sent):
                self._keep(replace(self._state, sent=sent))
            return header, sealed
        return sending.header, sealed

    def _open_previous(self, keys: Topic, sealed: bytes, header: bytes, now: float) -> bytes:
        if keys.open_previous is None:
            raise AuthenticationFailed
        check_window(keys.state.rotated, now, GRACE_S, self._skew)
        return keys.open_previous(b"", sealed, header)

    def _repeated(self, memory: ReplayMemory, tag: bytes, sent: int, topic: str, now: float) -> bool:
        try:
            memory.accept(tag, sent, now - WINDOW_S)
        except Replayed:
            if topic not in self.tolerance.repeats:
                raise
            return True
        return False

    def _raise_mark(self, sent: int, memory: ReplayMemory, now: float) -> None:
        if sent <= memory.floor:
            raise TooOld
        self._keep(transition.faded(replace(self._state, mark=sent + MARK_AHEAD_S), now))

    # ------------------------------------------------------------------------------------------------- commands

    def _obey(self, after: State, horizon: float) -> None:
        self._adopt(replace(after, floor=self._memories.floor(after, horizon)), self._memories)
        self._memories.forget(after, horizon)

    def _handled(
        self, tag: bytes, outcome: Outcome, command: Command | None = None, error: E4Error | None = None
    ) -> Handled:
        refusal = error.kind if error is not None and outcome is Outcome.REFUSED else ""
        return Handled(outcome, command, error, self._report(Ack(self._digest(), tag, outcome, refusal)))

    def _declined(self, tag: bytes, outcome: Outcome, error: E4Error) -> Handled:
        """Not obeyed. Told once: who replays one command must not make a device talk without end."""
        if tag in self._declined_tags:
            return Handled(outcome, None, error, None)
        if len(self._declined_tags) >= DECLINED_KEPT:
            self._declined_tags.clear()
        self._declined_tags.add(tag)
        return self._handled(tag, outcome, error=error)

    def _already_done(self, tag: bytes, error: Replayed, now: float) -> Handled:
        if 0 <= now - self._already < ALREADY_EVERY_S:
            return Handled(Outcome.ALREADY, None, error, None)
        self._already = now
        return self._handled(tag, Outcome.ALREADY, error=error)

    def _report(self, content: report.Report) -> bytes:
        salt = self._random(report.SALT_LEN)
        return report.seal(self.suite, self._channel, self._state.client_id, content, salt)

    def _digest(self) -> bytes:
        assert self._ready is not None
        return self._ready.digest(self.suite)

    # ---------------------------------------------------------------------------------------------------- state

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
