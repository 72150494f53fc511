# SPDX-License-Identifier: Apache-2.0
"""What a device of ``format2.md`` remembers (sections 2.6, 2.7, 3.4), for the independent implementation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance.witness2_algorithms import require
from tests.conformance.witness2_wire import Header, number

WINDOW, EPOCHS = 1024, 8
NO_LIMIT = 2**64 - 1


@dataclass
class Epoch:
    key: bytes
    """Empty: it expired."""
    use: int
    validity: int
    not_after: int
    limit: int = NO_LIMIT


@dataclass
class Session:
    highest: int
    newest: int
    born: int
    validity: int
    seen: set[int] = field(default_factory=set)


Key = tuple[bytes, int, bytes, bytes]
"""T, epoch, sender, session."""


@dataclass
class Memory:
    """Topics, replay memory, floors."""

    bound: int
    """Sessions that fit, of a topic or of a topic and sender."""
    per_sender: bool
    topics: dict[bytes, dict[int, Epoch]] = field(default_factory=dict)
    sessions: dict[Key, Session] = field(default_factory=dict)
    floors: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    floor: int = 0
    born: int = 0

    # ---- epochs

    def set_topic(self, args: bytes) -> None:
        topic, epoch, key = args[:32], number(args[32:36]), args[36:68]
        use, validity, not_after, older = args[68], number(args[69:73]), number(args[73:81]), number(args[81:89])
        epochs = self.topics.get(topic, {})
        held = epochs.get(epoch)
        if held is not None and held.key:
            require(held.key == key, "epoch_conflict")
            held.use, held.validity, held.not_after = use, validity, not_after
        else:
            require(epoch > 0 and epoch >= max(epochs, default=0), "epoch_conflict")
            self.topics[topic] = epochs
            epochs[epoch] = Epoch(key, use, validity, not_after)
            if len(epochs) > EPOCHS:
                self.retire(topic, min(epochs))
            for other in [each for each in self.sessions if each[0] == topic and each[1] < epoch]:
                if other[1] not in epochs:
                    del self.sessions[other]
        for lower in [each for each in epochs if each < epoch]:
            epochs[lower].limit = min(epochs[lower].limit, older)
            if older == 0:
                self.retire(topic, lower)

    def retire(self, topic: bytes, epoch: int) -> None:
        """A newer one took its place: no floor rises."""
        del self.topics[topic][epoch]
        for key in [each for each in self.sessions if each[:2] == (topic, epoch)]:
            del self.sessions[key]

    def expire(self, topic: bytes, epoch: int) -> None:
        self.topics[topic][epoch].key = b""
        for key in [each for each in self.sessions if each[:2] == (topic, epoch)]:
            self.forget(key)

    def erase(self, now: float) -> None:
        for topic, epochs in self.topics.items():
            for epoch, held in list(epochs.items()):
                if held.limit != NO_LIMIT and now > held.limit:
                    self.retire(topic, epoch)
                elif held.key and held.not_after and now > held.not_after:
                    self.expire(topic, epoch)

    def held(self, topic: bytes) -> dict[int, Epoch]:
        return {number: epoch for number, epoch in self.topics.get(topic, {}).items() if epoch.key}

    def find(self, topic: bytes, epoch: int) -> Epoch:
        require(topic in self.topics, "topic_key_missing")
        found = self.held(topic).get(epoch)
        if found is None:
            require(epoch <= max(self.topics[topic], default=0), "epoch_unknown")
        require(found is not None, "epoch_retired")
        assert found
        return found

    # ---- replays

    def floor_of(self, key: Key) -> int:
        return max(self.floor, self.floors.get(self._place(key), 0))

    def check(self, key: Key, sequence: int) -> None:
        session = self.sessions.get(key)
        if session is None or sequence > session.highest:
            return
        fresh = sequence >= session.highest - WINDOW and sequence not in session.seen
        require(fresh, "replayed")

    def remember(self, key: Key, header: Header, validity: int, oldest: float) -> None:
        """Args: oldest: now - skew, from which the validity counts back."""
        for other, held in list(self.sessions.items()):
            current = self.held(other[0]).get(other[1])
            valid = current.validity if current else held.validity
            if other != key and valid and held.newest < oldest - valid:
                self.forget(other)
        if key not in self.sessions:
            place = [each for each in self.sessions if self._place(each) == self._place(key)]
            if len(place) >= self.bound:
                self.forget(min(place, key=lambda each: (self.sessions[each].newest, self.sessions[each].born)))
            self.born += 1
            self.sessions[key] = Session(header.sequence, header.timestamp, self.born, validity)
        session = self.sessions[key]
        session.validity = validity
        session.seen.add(header.sequence)
        session.highest = max(session.highest, header.sequence)
        session.newest = max(session.newest, header.timestamp)

    def forget(self, key: Key) -> None:
        place = self._place(key)
        self.floors[place] = max(self.floors.get(place, 0), self.sessions.pop(key).newest)

    def lose(self, mark: int) -> None:
        """A start after a crash."""
        self.sessions.clear()
        self.floors.clear()
        self.floor = max(self.floor, mark)

    def _place(self, key: Key) -> tuple[bytes, bytes]:
        return key[0], key[2] if self.per_sender else b""
