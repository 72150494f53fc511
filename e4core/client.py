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

from e4core import report, transition
from e4core.command import Command, RemoveTopic, decode
from e4core.errors import (
    AuthenticationFailed,
    E4Error,
    InvalidInput,
    NotFresh,
    RateExceeded,
    Replayed,
    TooOld,
    UnknownKey,
    UnsupportedSuite,
)
from e4core.keys import ClientId, TopicHash, check_topic_name
from e4core.message import GRACE_S, WINDOW_S, Layout, Message, Plain1, Signed1, check_window
from e4core.replay import ReplayMemory
from e4core.report import Ack, Hello, Outcome
from e4core.state import Seen, State, TopicState
from e4core.suite import Aead, Channel, PrivateKey, Suite

MESSAGE_BACKDATE_S = 2
"""Own messages are back-dated by this, because e4go tolerates no sender ahead of it (`wire.md` section 13)."""
MARK_AHEAD_S = 5
STEP_BACK_S = 300
"""How far a timestamp may step back so that no two own messages have the same bytes."""
CAPACITY = {False: 65_536, True: 8_192}
"""Replay memory, tags: a topic without signatures; a topic and sender with them."""
COMMANDS_PER_SECOND = 65_536
ALREADY_EVERY_S = 10

_int = int.from_bytes
_tuple = tuple.__new__


class _Topic:
    """Ready keys of one topic, and what was sent and received on it."""

    __slots__ = ("memories", "open", "open_previous", "seal", "sent", "state")

    def __init__(self, aead: Aead, state: TopicState, memories: dict[bytes, ReplayMemory], sent: ReplayMemory) -> None:
        current = aead.key(state.key)
        self.state = state
        self.seal = current.seal
        self.open = current.open
        self.open_previous = aead.key(state.previous).open if state.previous is not None else None
        self.memories = memories
        self.sent = sent


class Handled(NamedTuple):
    """What became of a command that was authentic."""

    outcome: Outcome
    command: Command | None
    error: E4Error | None
    report: bytes | None
    """Ack for the C2; None when the same was acknowledged a moment ago."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a device tolerates, beyond what the protocol fixes."""

    skew_s: float = 30
    """Seconds that a sender's clock may be ahead."""
    repeats: frozenset[str] = frozenset()
    """Topics on which a message equal to an earlier one is delivered, flagged, rather than refused: several publishers of
    ``sk`` that send the same bytes in the same second look like a replay."""


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
        self._capacity = CAPACITY[suite.signature is not None]
        self._save = save
        self._random = random
        self._state: State
        self._memories: dict[bytes, dict[bytes, ReplayMemory]] = {}
        self._sent: dict[bytes, ReplayMemory] = {}
        self._sent_floor: int | None = None
        self._second = -1
        self._sending = -1
        self._header = b""
        self._by_name: dict[str, _Topic] = {}
        self._topics: dict[bytes, _Topic] = {}
        self._nonce = b""
        self._already = float("-inf")
        self._state = state
        self._restore(state)
        floor = state.floor if state.clean else max(state.floor, state.mark)
        self._adopt(replace(state, clean=False, seen=(), floor=floor))

    @property
    def state(self) -> State:
        """What is saved; `close` completes it."""
        return self._state

    @property
    def synchronised(self) -> bool:
        """True once the C2 has answered the last `hello`."""
        return not self._nonce

    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        """Protect ``payload`` for everybody who holds the key of ``topic``.

        Layout: `wire.md` section 5 (24 B longer than the payload) or 6 (104 B). No two calls give the same bytes.
        Raises: UnknownKey (``topic_key_missing``). RateExceeded: equal payloads sent too fast. InvalidInput (``bad_topic``).
        """
        keys = self._by_name.get(topic) or self._find(topic)
        if int(now) != self._second:
            self._sending = self._send_at(int(now))
            self._header = self._sending.to_bytes(8, "little")
            self._second = int(now)
        sent, header = self._sending, self._header
        sealed = keys.seal(b"", payload, header)
        try:
            keys.sent.accept(sealed[:16], sent, sent - STEP_BACK_S)
        except NotFresh:
            header, sealed = self._at_another_second(keys, payload, sent)
        return self._finish(header, sealed)

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        """Check, open and remember one message of ``topic``; refused data changes nothing.

        Raises: UnknownKey (``topic_key_missing``, ``unknown_sender``). InvalidInput (``too_short``, ``bad_length``). InFuture,
        TooOld, Replayed. AuthenticationFailed (``bad_signature``, ``not_authentic``).
        """
        keys = self._by_name.get(topic) or self._find(topic)
        if len(data) < self._shortest:
            raise InvalidInput(f"a protected message has at least {self._shortest} bytes", kind=self._layout.too_short)
        header = data[:8]
        sent = _int(header, "little")
        if not now - WINDOW_S <= sent <= now + self._skew:
            check_window(sent, now, WINDOW_S, self._skew)
        if self._authenticate is not None:
            self._authenticate(data)
        sealed = data[self._sealed]
        try:
            payload = keys.open(b"", sealed, header)
        except AuthenticationFailed:
            payload = self._open_previous(keys, sealed, header, now)
        if sent > self._mark:
            self._raise_mark(sent)
        sender = data[self._sender]
        memory = keys.memories.get(sender) or self._remember(keys, sender)
        try:
            memory.accept(sealed[:16], sent, now - WINDOW_S)
            repeated = False
        except Replayed:
            if topic not in self.tolerance.repeats:
                raise
            repeated = True
        # not Message(...): its own __new__ is a Python function, and costs as much again
        return _tuple(Message, (payload, self._ids[sender], sender != b"", 0, sent, repeated))

    def command(self, data: bytes, now: float) -> Handled:
        """Obey one command from the control topic; the state is saved before this returns.

        Raises: InvalidInput (``too_short``). InFuture. TooOld. AuthenticationFailed. StorageError and the like from ``save``:
        then nothing was changed.
        """
        if len(data) <= 24:
            raise InvalidInput("a command has more than 24 bytes", kind="too_short")
        sent = int.from_bytes(data[:8], "little")
        check_window(sent, now, WINDOW_S, self._skew)
        plain = self._channel.command_key.open(b"", data[8:], data[:8])
        tag = data[8:24]
        self._pull_back(now)
        state = self._state
        if sent < state.command_second:
            return self._handled(tag, Outcome.OUTDATED, error=TooOld("older than the newest command accepted"))
        tags = state.command_tags if sent == state.command_second else frozenset()
        if tag in tags:
            return self._already_done(tag, now)
        try:
            command = decode(plain, self.suite)
            after = transition.apply(self.suite, state, command, now)
        except E4Error as error:
            return self._handled(tag, Outcome.REFUSED, error=error)
        if len(tags) >= COMMANDS_PER_SECOND:
            return self._handled(tag, Outcome.OUTDATED, error=TooOld("too many commands in one second"))
        after = replace(after, command_second=sent, command_tags=tags | {tag})
        self._adopt(self._retire(after, now - WINDOW_S))
        if isinstance(command, RemoveTopic) and command.topic == self._nonce:
            self._nonce = b""
        return self._handled(tag, Outcome.APPLIED, command)

    def hello(self) -> bytes:
        """Report that asks the C2 for a Sync, and through it for whatever this device misses."""
        self._nonce = self._nonce or self._random(report.NONCE_LEN)
        return self._report(Hello(self._digest(), self._nonce))

    def close(self) -> None:
        """Stop in order: save the replay memory, so that the next start need not refuse what is recent."""
        seen = tuple(
            Seen(TopicHash(topic), sender, memory.floor, dict(memory.seconds()))
            for topic, memories in self._memories.items()
            for sender, memory in memories.items()
        )
        used = [second for memory in self._sent.values() for second, _ in memory.seconds()]
        sent = max([self._state.sent, *used])
        self._state = replace(self._state, clean=True, seen=seen, sent=sent)
        self._save(self._state)

    def reset_clock(self, now: float) -> None:
        """Forget timestamps beyond ``now``, after this device *and* a sender ran with a clock far ahead.

        Messages of the last ten minutes are then refused, so that none can be replayed.
        """
        reset = replace(
            self._state, floor=int(now), mark=int(now), sent=0, command_second=int(now), command_tags=frozenset()
        )
        self._memories.clear()
        self._sent.clear()
        self._topics.clear()
        self._sent_floor = None
        self._second = -1
        self._adopt(reset)

    # ------------------------------------------------------------------------------------------------- messages

    def _find(self, topic: str) -> _Topic:
        """Slow path of the look-up by name; only names of topics that are held are kept."""
        check_topic_name(topic)
        keys = self._topics.get(self.suite.derive_id(topic))
        if keys is None:
            raise UnknownKey(
                "no key is held for this topic; the C2 sends it when it makes this client a member",
                kind="topic_key_missing",
            )
        self._by_name[topic] = keys
        return keys

    def _open_previous(self, keys: _Topic, sealed: bytes, header: bytes, now: float) -> bytes:
        if keys.open_previous is None:
            raise AuthenticationFailed
        check_window(keys.state.rotated, now, GRACE_S, self._skew)
        return keys.open_previous(b"", sealed, header)

    def _remember(self, keys: _Topic, sender: bytes) -> ReplayMemory:
        return keys.memories.setdefault(sender, ReplayMemory(self._state.floor, self._capacity))

    def _raise_mark(self, sent: int) -> None:
        marked = replace(self._state, mark=sent + MARK_AHEAD_S)
        self._save(marked)
        self._state = marked
        self._mark = marked.mark

    def _send_at(self, now: int) -> int:
        """Timestamp for messages of this second, clear of every one that an earlier run may have used."""
        sent = now - MESSAGE_BACKDATE_S
        if self._sent_floor is None:
            floor = max(self._state.sent, sent)
            if floor >= now:
                raise RateExceeded(
                    "the clock was set back, or this was started twice within a second; wait, or reset the clock"
                )
            begun = replace(self._state, sent=floor + 1)
            self._save(begun)
            self._state = begun
            self._sent_floor = floor
        return max(sent, self._sent_floor + 1)

    def _at_another_second(self, keys: _Topic, payload: bytes, sent: int) -> tuple[bytes, bytes]:
        """The same bytes were sent before: take the nearest earlier second in which they were not, else a later one."""
        oldest = max(self._sent_floor or 0, sent - STEP_BACK_S)
        for second in (*range(sent - 1, oldest, -1), *range(sent + 1, self._second + 1)):
            header = second.to_bytes(8, "little")
            sealed = keys.seal(b"", payload, header)
            try:
                keys.sent.accept(sealed[:16], second, oldest)
            except NotFresh:
                continue
            return header, sealed
        raise RateExceeded

    # ------------------------------------------------------------------------------------------------- commands

    def _pull_back(self, now: float) -> None:
        """A clock that was once wrong must not deafen the device."""
        latest = int(now + self._skew)
        if self._state.command_second > latest:
            self._state = replace(self._state, command_second=latest, command_tags=frozenset())

    def _handled(
        self, tag: bytes, outcome: Outcome, command: Command | None = None, error: E4Error | None = None
    ) -> Handled:
        refusal = error.kind if error is not None and outcome is Outcome.REFUSED else ""
        return Handled(outcome, command, error, self._report(Ack(self._digest(), tag, outcome, refusal)))

    def _already_done(self, tag: bytes, now: float) -> Handled:
        error = Replayed("this command was applied before")
        if 0 <= now - self._already < ALREADY_EVERY_S:
            return Handled(Outcome.ALREADY, None, error, None)
        self._already = now
        return self._handled(tag, Outcome.ALREADY, error=error)

    def _report(self, content: report.Report) -> bytes:
        salt = self._random(report.SALT_LEN)
        return report.seal(self.suite, self._channel, self._state.client_id, content, salt)

    def _digest(self) -> bytes:
        marks = {topic: report.fingerprint(self.suite, keys.state.key) for topic, keys in self._topics.items()}
        return report.digest(self.suite, marks, self._peers)

    # ---------------------------------------------------------------------------------------------------- state

    def _adopt(self, state: State) -> None:
        """Make everything ready for ``state``, save it, and only then switch to it."""
        private = self.suite.device.load(state.private)
        channel: Channel = self.suite.control.at_device(private, state.c2_public)
        topics = {bytes(topic): self._ready(topic, state) for topic in state.topics}
        layout = self._speakers(state, private)
        self._save(state)
        self._state = state
        self._mark = state.mark
        self._channel = channel
        self._topics = topics
        self._by_name.clear()
        self._peers = {bytes(peer): public for peer, public in state.peers.items()}
        self._ids: dict[bytes, ClientId | None] = {b"": None, **{bytes(peer): peer for peer in state.peers}}
        self._layout = layout
        self._shortest = layout.shortest
        self._sealed = layout.sealed
        self._sender = layout.sender
        self._finish = layout.finish
        self._authenticate = layout.authenticate

    def _ready(self, topic: TopicHash, state: State) -> _Topic:
        held = self._topics.get(topic)
        if held is not None and held.state is state.topics[topic]:
            return held
        memories = self._memories.setdefault(bytes(topic), {})
        sent = self._sent.setdefault(bytes(topic), ReplayMemory(0, CAPACITY[False]))
        return _Topic(self.suite.aead, state.topics[topic], memories, sent)

    def _retire(self, state: State, horizon: float) -> State:
        """Forget the memory of topics and senders that are gone, once all in it is too old anyway; the floor keeps its trace."""
        floor = state.floor
        for topic, memories in list(self._memories.items()):
            for sender, memory in list(memories.items()):
                gone = topic not in state.topics or (sender and sender not in state.peers)
                if gone and memory.newest < horizon:
                    floor = max(floor, memory.newest)
                    del memories[sender]
            sent = self._sent.get(topic)
            if topic not in state.topics and not memories and (sent is None or sent.newest < horizon):
                del self._memories[topic]
                self._sent.pop(topic, None)
        return replace(state, floor=floor)

    def _speakers(self, state: State, private: PrivateKey) -> Layout:
        signature = self.suite.signature
        if signature is None:
            return Plain1()
        verifiers = {bytes(peer): signature.verifier(public) for peer, public in state.peers.items()}
        return Signed1(state.client_id, signature.signer(private), verifiers)

    def _restore(self, state: State) -> None:
        if not state.clean:
            return
        for seen in state.seen:
            memory = ReplayMemory(seen.floor, self._capacity)
            memory.restore(seen.seconds)
            self._memories.setdefault(bytes(seen.topic), {})[seen.sender] = memory
