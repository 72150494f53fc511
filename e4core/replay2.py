# SPDX-License-Identifier: Apache-2.0
"""The bounded memory of what was already accepted in Format 2: sequences, by topic, epoch, sender and session.

What is forgotten leaves its newest timestamp as a *floor* that only rises. A session begins above the floor and keeps it: nothing
sent at or before it is ever accepted there, for that may have been accepted before it was forgotten (`format2.md` section 2). An
epoch that is over does not come back, so what goes with it raises no floor.
"""

from __future__ import annotations

from collections.abc import Collection

from e4core.keys import FullTopicHash
from e4core.session2 import Open, Session, Verify, validity
from e4core.state2 import Epoch, Seen2, SeenSender, SeenSession, State2

MOST = {False: 1024, True: 8}
"""Sessions of a topic; where messages are signed: of a sender on a topic."""
TOPICS_MOST = 1024
"""Topics of which something is remembered although no key is held any more."""


class _Sender:
    __slots__ = ("floor", "gone", "sessions")

    def __init__(self, floor: int = 0, gone: int = 0) -> None:
        self.floor = floor
        self.gone = gone
        self.sessions: dict[tuple[int, bytes], Session] = {}


class TopicMemory:
    """What was accepted on one topic."""

    def __init__(self, signed: bool, retired: int = 0) -> None:
        self.table: dict[int, dict[bytes, Session]] = {}
        """Epoch -> sender id and session -> what is remembered."""
        self.recent: dict[bytes, Session] = {}
        """By all but the sequence of the headers of its newest second: sessions without gaps, whose keys are ready."""
        self._signed = signed
        self._most = MOST[signed]
        self._retired = retired
        self._keys: dict[int, bytes] = {}
        """Of the epochs, as `keep` was told last."""
        self._senders: dict[bytes, _Sender] = {}

    def floor(self, who: bytes) -> int:
        sender = self._senders.get(self._key(who))
        return sender.floor if sender else 0

    def remember(self, session: Session, sequence: int, opener: Open) -> None:
        """Take note of a message that was authentic; at the bound the oldest session of its sender, or of the topic, goes."""
        if session.who in self.table[session.epoch]:
            session.accept(sequence)
        else:
            session.begin(sequence)
            self._add(session)
        session.open = opener

    def expect(
        self, session: Session, header: bytes, sent: int, begins: float, ends: float, verify: Verify | None
    ) -> None:
        """One message was accepted, and more like it may follow: of the same second, in order and without a gap.

        Args: header: all of it but the sequence.  begins, ends: from when to when on the own clock such are acceptable.
        """
        if session.missing:
            self.recent.pop(session.header, None)
        elif sent >= session.newest and session.open:
            self.recent.pop(session.header, None)
            self.recent[header] = session
            session.header, session.begins, session.ends = header, begins, ends
            session.ready, session.verify = session.open, verify
        session.newest = max(session.newest, sent)

    def _add(self, session: Session) -> None:
        sender = self._senders.setdefault(self._key(session.who), _Sender())
        if len(sender.sessions) >= self._most:
            oldest = min(sender.sessions.values(), key=lambda each: each.newest)
            self._forget(sender, oldest)
            sender.floor = max(sender.floor, oldest.newest)
        sender.sessions[session.epoch, session.who] = session
        self.table.setdefault(session.epoch, {})[session.who] = session

    def keep(self, epochs: Collection[Epoch]) -> None:
        """Forget all epochs but these, and the derived keys of those that are retired.

        Should one come back all the same (the topic was removed in between), what it has accepted counts by its floor.
        """
        self.recent.clear()
        numbers = {epoch.number for epoch in epochs}
        returned = any(number <= self._retired and number not in self.table for number in numbers)
        for number in self.table.keys() - numbers:
            for session in list(self.table[number].values()):
                sender = self._senders[self._key(session.who)]
                self._forget(sender, session)
                sender.gone = max(sender.gone, session.newest)
            del self.table[number]
            self._retired = max(self._retired, number)
        for epoch in epochs:
            # a topic that is removed and set by one command may have another key under the same number
            is_same = self._keys.get(epoch.number) == epoch.key
            for session in self.table.setdefault(epoch.number, {}).values():
                session.validity = validity(epoch)
                if not is_same:
                    session.lose_key()
        self._keys = {epoch.number: epoch.key for epoch in epochs if epoch.key}
        for sender in self._senders.values() if returned else ():
            sender.floor = max(sender.floor, sender.gone)

    def erase_keys(self) -> None:
        """Drop all derived keys."""
        self.recent.clear()
        self._keys.clear()
        for sender in self._senders.values():
            for session in sender.sessions.values():
                session.lose_key()

    def age(self, horizon: float) -> None:
        """Forget sessions whose messages were too old at ``horizon``."""
        for sender in self._senders.values():
            for session in list(sender.sessions.values()):
                if session.newest < horizon - session.validity:
                    self._forget(sender, session)
                    sender.floor = max(sender.floor, session.newest)

    def lower(self, latest: int) -> None:
        """No floor stays above ``latest``."""
        for sender in self._senders.values():
            sender.floor = min(sender.floor, latest)
            for session in sender.sessions.values():
                if session.floor > latest:
                    # what it accepted before it was forgotten is now known by its sequence alone
                    session.floor, session.missing = latest, 0

    @property
    def newest(self) -> int:
        """Everything that is refused because of this memory was sent at or before this second."""
        senders = self._senders.values()
        return max((max(s.floor, s.gone, *(each.newest for each in s.sessions.values())) for s in senders), default=0)

    def seen(self, topic: FullTopicHash) -> Seen2:
        sessions = [each for sender in self._senders.values() for each in sender.sessions.values()]
        return Seen2(
            topic,
            self._retired,
            {key: SeenSender(sender.floor, sender.gone) for key, sender in self._senders.items()},
            tuple(
                SeenSession(
                    each.epoch,
                    each.sender,
                    each.who[16:],
                    each.due - 1,
                    each.missing,
                    each.newest,
                    0 if each.validity == float("inf") else int(each.validity),
                    each.floor,
                )
                for each in sessions
            ),
        )

    @classmethod
    def restored(cls, signed: bool, seen: Seen2) -> TopicMemory:
        memory = cls(signed, seen.retired)
        for key, sender in seen.senders.items():
            memory._senders[key] = _Sender(sender.floor, sender.gone)
        for each in seen.sessions:
            who, validity = each.sender + each.session, float(each.validity_s or "inf")
            session = Session(each.epoch, who, each.highest + 1, validity, each.floor)
            session.missing, session.newest = each.missing, each.newest
            memory._add(session)
        return memory

    def _key(self, who: bytes) -> bytes:
        return who[:16] if self._signed else b""

    def _forget(self, sender: _Sender, session: Session) -> None:
        self.recent.pop(session.header, None)
        del sender.sessions[session.epoch, session.who]
        del self.table[session.epoch][session.who]


class Memories2:
    """Of all topics; that of a topic without keys stays until its room is needed."""

    def __init__(self, signed: bool, seen: tuple[Seen2, ...] = ()) -> None:
        self._signed = signed
        self._topics = {each.topic: TopicMemory.restored(signed, each) for each in seen}

    def of(self, topic: FullTopicHash) -> TopicMemory:
        return self._topics.setdefault(topic, TopicMemory(self._signed))

    def seen(self) -> tuple[Seen2, ...]:
        return tuple(memory.seen(topic) for topic, memory in self._topics.items())

    def floor(self, state: State2) -> int:
        """Floor of a state after which `follow` is called: it keeps the trace of what is forgotten."""
        return max([state.floor, *(self._topics[topic].newest for topic in self._surplus(state))])

    def follow(self, state: State2, horizon: float) -> None:
        """Take over which topics and epochs there are. Args: horizon: what was acceptable until then is not any more."""
        for topic in self._surplus(state):
            del self._topics[topic]
        for topic, held in state.topics.items():
            self.of(topic).keep(held)
        for topic, memory in self._topics.items():
            if topic not in state.topics:
                memory.erase_keys()
        self.age(horizon)

    def age(self, horizon: float) -> None:
        """Args: horizon: what was acceptable until then is not any more."""
        for memory in self._topics.values():
            memory.age(horizon)

    def lower(self, latest: int) -> None:
        """No floor stays above ``latest``."""
        for memory in self._topics.values():
            memory.lower(latest)

    def _surplus(self, state: State2) -> list[FullTopicHash]:
        gone = [topic for topic in self._topics if topic not in state.topics]
        by_age = sorted(gone, key=lambda topic: self._topics[topic].newest)
        return by_age[: max(0, len(gone) - TOPICS_MOST)]
