# SPDX-License-Identifier: Apache-2.0
"""A device: protects and unprotects messages, obeys the C2's commands, and remembers.

It does no I/O: the clock comes as ``now`` (Unix seconds with their fraction), what must survive a restart goes to ``save``.
One thread at a time may use a `Client`.
"""

from __future__ import annotations

from dataclasses import replace

from e4core import transition
from e4core.errors import AuthenticationFailed, InvalidInput, NotFresh, Replayed, TooOld, UnknownKey
from e4core.kept import Tolerance as Tolerance
from e4core.keys import check_topic_name
from e4core.message import GRACE_S, WINDOW_S, Message, check_window
from e4core.obeying import Obeying
from e4core.ready import Topic
from e4core.replay import ReplayMemory
from e4core.sending import STEP_BACK_S

MARK_AHEAD_S = 5

_int = int.from_bytes
_tuple = tuple.__new__


class Client(Obeying):
    """One device of a fleet; see `e4core.state.new_state` and `e4device.statefile` for where its state comes from."""

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
