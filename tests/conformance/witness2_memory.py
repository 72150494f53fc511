# SPDX-License-Identifier: Apache-2.0
"""What a device of ``format2.md`` remembers (sections 2.6, 2.7, 3.4), for the independent implementation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance.witness2_algorithms import require
from tests.conformance.witness2_wire import Header, fingerprint, number

WINDOW, EPOCHS = 1024, 8
NO_LIMIT = 2**64 - 1


@dataclass
class Epoch:
    key: bytes
    """Empty: it is over."""
    mark: bytes
    """Fingerprint of the key."""
    use: int
    validity: int
    not_after: int
    limit: int = NO_LIMIT

    def expired(self, now: float) -> bool:
        return self.not_after > 0 and now >= self.not_after + 1

    def over(self, now: float) -> bool:
        return self.expired(now) or now >= self.limit


@dataclass
class Session:
    highest: int
    newest: int
    born: int
    floor: int
    """That of when it came into memory; it keeps it."""
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
    gone: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    """Newest timestamp of what was forgotten with its epoch; and the highest number of those epochs."""
    left: dict[bytes, int] = field(default_factory=dict)
    floor: int = 0
    born: int = 0

    # ---- epochs

    def set_topic(self, args: bytes) -> None:
        topic, epoch, key = args[:32], number(args[32:36]), args[36:68]
        use, validity, not_after, older = args[68], number(args[69:73]), number(args[73:81]), number(args[81:89])
        epochs = self.topics.get(topic, {})
        held, mark = epochs.get(epoch), fingerprint(key)
        require(epoch > 0, "epoch_conflict")
        if held is not None:
            require(held.mark == mark, "epoch_conflict")
            held.key, held.use, held.validity, held.not_after = key, use, validity, not_after
        else:
            require(epoch > max(epochs, default=0), "epoch_conflict")
            self.come_back(topic, epoch)
            epochs[epoch] = Epoch(key, mark, use, validity, not_after)
            if len(epochs) > EPOCHS:
                del epochs[min(epochs)]
        for lower in [each for each in epochs if each < epoch]:
            epochs[lower].limit = min(epochs[lower].limit, older)
        self.topics[topic] = epochs

    def erase(self, now: float) -> None:
        for topic, epochs in self.topics.items():
            sending = max((each for each, held in epochs.items() if held.use), default=0)
            for epoch in [each for each, held in epochs.items() if held.over(now)]:
                if epoch in (sending, max(epochs)):
                    epochs[epoch].key = b""
                else:
                    del epochs[epoch]
            for key in [each for each in self.sessions if each[0] == topic and each[1] not in epochs]:
                place, session = self._place(key), self.sessions.pop(key)
                self.gone[place] = max(self.gone.get(place, 0), session.newest)
                self.left[topic] = max(self.left.get(topic, 0), key[1])

    def come_back(self, topic: bytes, epoch: int) -> None:
        """The number of an epoch that had left while the topic was held."""
        if epoch <= self.left.get(topic, 0) and not any(key[:2] == (topic, epoch) for key in self.sessions):
            for place in [each for each in self.gone if each[0] == topic]:
                self.floors[place] = max(self.floors.get(place, 0), self.gone[place])

    def find(self, topic: bytes, epoch: int) -> Epoch:
        require(topic in self.topics, "topic_key_missing")
        epochs = self.topics[topic]
        require(epoch <= max(epochs), "epoch_unknown")
        require(epoch in epochs and epochs[epoch].key != b"", "epoch_retired")
        return epochs[epoch]

    # ---- replays

    def floor_of(self, key: Key) -> int:
        """What a message of this session must be later than."""
        if key in self.sessions:
            return self.sessions[key].floor
        return max(self.floor, self.floors.get(self._place(key), 0))

    def check(self, key: Key, sequence: int) -> None:
        session = self.sessions.get(key)
        if session is None or sequence > session.highest:
            return
        fresh = sequence >= session.highest - WINDOW and sequence not in session.seen
        require(fresh, "replayed")

    def remember(self, key: Key, header: Header, validity: int, oldest: float) -> None:
        """Args: oldest: now - skew, from which the validity counts back."""
        floor = self.floor_of(key)
        for other, held in list(self.sessions.items()):
            current = self.topics.get(other[0], {}).get(other[1])
            valid = current.validity if current else held.validity
            if other != key and valid and held.newest < oldest - valid:
                self.forget(other)
        if key not in self.sessions:
            place = [each for each in self.sessions if self._place(each) == self._place(key)]
            if len(place) >= self.bound:
                self.forget(min(place, key=lambda each: (self.sessions[each].newest, self.sessions[each].born)))
            self.born += 1
            self.sessions[key] = Session(header.sequence, header.timestamp, self.born, floor, validity)
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
        self.gone.clear()
        self.left.clear()
        self.floor = max(self.floor, mark)

    def _place(self, key: Key) -> tuple[bytes, bytes]:
        return key[0], key[2] if self.per_sender else b""
