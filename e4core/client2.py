# SPDX-License-Identifier: Apache-2.0
"""A device of Format 2: protects and unprotects messages, obeys the C2's commands, and remembers (`format2.md`).

It does no I/O: the clock comes as ``now`` (Unix seconds with their fraction), what must survive a restart goes to ``save``.
One thread at a time may use a `Client2`.
"""

from __future__ import annotations

from dataclasses import replace
from struct import Struct
from struct import error as StructError

from e4core import transition2
from e4core.client import MARK_AHEAD_S
from e4core.epochs import is_over, sending
from e4core.errors import (
    AuthenticationFailed,
    InFuture,
    InvalidInput,
    TooOld,
    UnknownKey,
)
from e4core.keys import check_topic_name
from e4core.message import Message
from e4core.obeying2 import Obeying2
from e4core.ready2 import Topic
from e4core.sending2 import HEADER_LEN, VERSION, Outgoing, OwnSession
from e4core.session2 import Session
from e4core.state2 import Epoch

_CONSTANT = slice(37)
"""What the headers of one sender's messages of one second have in common."""
_HEADER = slice(HEADER_LEN)
_SEALED = slice(HEADER_LEN, None)
_NO_SESSIONS: dict[bytes, Session] = {}

_sequence = Struct("<37xI").unpack_from
_unpack = Struct("<BIQ24sI").unpack_from
_tuple = tuple.__new__


class Client2(Obeying2):
    """One device of a fleet; see `e4core.state2.new_state` and `e4device.statefile` for where its state comes from."""

    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        """Protect ``payload`` for everybody who holds the newest key of ``topic``; 57 bytes longer, and the signature.

        Raises: UnknownKey (``topic_key_missing``, ``key_expired``). ClockUnset. InvalidInput (``bad_topic``).
        """
        try:
            out = self._outgoing[topic]
            if not out.begins <= now < out.ends:
                self._turn(out, now)
            # taken before anything is sealed, and never given back
            tail, nonce = next(out.numbers)
        except (KeyError, StopIteration):
            self._prepare(topic, now)
            # and the same again: a session that went on may have no sequence left
            return self.protect(payload, topic, now)
        header = out.prefix + tail
        sign = self._sign
        if sign is None:
            return header + out.seal(nonce, payload, header)
        signed = header + out.seal(nonce, payload, header)
        return signed + sign(out.label + signed)

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        """Check, open and remember one message of ``topic``; refused data changes nothing (`format2.md` section 2).

        Raises: ClockUnset. InvalidInput (``bad_length``, ``bad_version``). UnknownKey (``topic_key_missing``, ``epoch_unknown``,
        ``epoch_retired``, ``unknown_sender``). InFuture, TooOld, Replayed. AuthenticationFailed (``bad_signature``,
        ``not_authentic``).
        """
        try:
            recent = self._recent[topic]
            # headers of one sender's messages of one second differ in the sequence only, and the checks of the rest are known
            session = recent[data[_CONSTANT]]
            (sequence,) = _sequence(data)
            if sequence != session.due or now < session.begins or now >= session.ends:
                return self._unprotect(data, topic, now)
            verify = session.verify
            if verify is None:
                payload = session.ready(self._nonce(sequence), data[_SEALED], data[_HEADER])
            else:
                end = -self._signature_len
                verify(data[:end], data[end:], now)
                payload = session.ready(self._nonce(sequence), data[HEADER_LEN:end], data[_HEADER])
        except (KeyError, AuthenticationFailed, StructError):
            # also to find the first reason, if there are several
            return self._unprotect(data, topic, now)
        session.due = sequence + 1
        # not Message(...): its own __new__ is a Python function, and costs as much again
        return _tuple(
            Message, (payload, session.sender, verify is not None, session.epoch, session.newest, False, sequence)
        )

    def _prepare(self, topic: str, now: float) -> None:
        """Slow path of `protect`: nothing is ready for this topic, or its sequences are used up."""
        keys = self._held(topic)
        epoch = sending(self._state.topics[keys.hash])
        if epoch is None:
            raise _missing("this topic may be read only; the C2 has not let this client protect yet")
        if epoch.key is None or is_over(epoch, self._second(now)):
            raise _ended(epoch)
        self._check_clock()
        if self._session is None or self._session.is_full or topic in self._outgoing:
            self.forked()
            clock_ns = int(now * 1e9) if self._has_clock else 0
            self._session = OwnSession(
                self.suite, self._state.client_id, self._random(32), clock_ns, self._state.starts
            )
        out = Outgoing(self.suite, keys.hash, epoch, epoch.key, self._session)
        out.turn_to(int(now))
        self._outgoing[topic] = out

    def _turn(self, out: Outgoing, now: float) -> None:
        """Another second begins."""
        if is_over(out.epoch, int(now)):
            raise _ended(out.epoch)
        out.turn_to(int(now))

    def _unprotect(self, data: bytes, topic: str, now: float) -> Message:
        """Every check, in the order of `format2.md` section 2."""
        keys = self._lead(data, topic, now)
        _, epoch, sent, who, sequence = _unpack(data)
        session = keys.table.get(epoch, _NO_SESSIONS).get(who)
        if session is None:
            session = keys.stranger(epoch, who, sequence, self._state.floor)
        begins, ends = float(sent - self._skew), sent + session.validity
        if now < begins:
            raise InFuture
        if now > ends or sent <= session.floor:
            raise TooOld
        authors = self._authors
        author = authors.get(who[:16]) if authors is not None else None
        if author is None and authors is not None:
            raise UnknownKey(f"no public key is held for the sender {who[:16].hex()}", kind="unknown_sender")
        session.check(sequence)
        end = len(data) - self._signature_len
        verify = author.of(keys.label) if author else None
        if verify:
            verify(data[:end], data[end:], now)
        opener = session.open or keys.opener(self.suite, session)
        payload = opener(self._nonce(sequence), data[HEADER_LEN:end], data[:HEADER_LEN])
        if sent > self._mark:
            self._raise_mark(sent, now)
        keys.memory.remember(session, sequence, opener)
        keys.memory.expect(session, data[_CONSTANT], sent, begins, min(ends, keys.retires), verify)
        return Message(payload, session.sender, author is not None, epoch, sent, sequence=sequence)

    def _raise_mark(self, sent: int, now: float) -> None:
        after = transition2.faded(self._state, self._second(now))
        marked = replace(after, mark=sent + MARK_AHEAD_S)
        if after is self._state:
            self._keep(marked)
        else:
            self._adopt(marked)

    def _lead(self, data: bytes, topic: str, now: float) -> Topic:
        """Slow path of `unprotect`: the first checks, one after the other."""
        self._check_open()
        self._check_clock()
        if len(data) < self._shortest:
            raise _too_short(self._shortest)
        if data[0] != VERSION:
            raise InvalidInput("a message of another version", kind="bad_version")
        keys = self._held(topic)
        if now >= keys.retires:
            self.erase_expired(now)
            keys = self._held(topic)
        self._recent[topic] = keys.memory.recent
        return keys

    def _held(self, topic: str) -> Topic:
        self._check_open()
        check_topic_name(topic)
        keys = self._topics.get(self.suite.derive_topic(topic))
        if keys is None:
            raise _missing("no key is held for this topic; the C2 sends it when it makes this client a member")
        return keys


def _missing(text: str) -> UnknownKey:
    return UnknownKey(text, kind="topic_key_missing")


def _ended(epoch: Epoch) -> UnknownKey:
    """Why nothing can be protected under an epoch that is over."""
    if epoch.not_after and (epoch.until is None or epoch.not_after < epoch.until):
        return UnknownKey("the key of this topic has expired; ask the C2 for a new one", kind="key_expired")
    return _missing("a newer key of this topic has come that may be read with only")


def _too_short(shortest: int) -> InvalidInput:
    return InvalidInput(f"a protected message has at least {shortest} bytes", kind="bad_length")
