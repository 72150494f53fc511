# SPDX-License-Identifier: Apache-2.0
"""Any history of deliveries, repeats, crashes, restarts and clocks in Format 2, against a memory that is naive and whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from e4core.errors import E4Error
from e4core.replay2 import MOST
from e4core.state2 import WINDOW
from e4core.suite import Suite
from tests.core.fleet import SECOND, topic_key
from tests.core.fleet2 import EPOCH, Device2, Letter, epoch_of
from tests.core.suites2 import GCM_PK, SIV_SK

TOPICS = ("a", "b")
SENDERS = ("sender", "other")
VALIDITY_S = 100
SKEW_S = 30

Session = tuple[str, str, bytes]
"""Topic, sender, session."""

letters = st.builds(
    Letter,
    payload=st.just(b"x"),
    sender=st.sampled_from(SENDERS),
    sent=st.integers(-130, 40),
    # most often one of two, so that sessions go on after a crash; now and then more than are remembered
    session=st.sampled_from([bytes([i]) * 8 for i in (*[0] * 10, *[1] * 5, *range(2, 11))]),
    sequence=st.one_of(st.integers(0, 6), st.integers(1020, 1030), st.just(2**32 - 1)),
    topic=st.sampled_from(TOPICS),
)


@dataclass
class Naive:
    """Everything ever accepted, in sets."""

    signed: bool
    mark: int = 0
    own_floor: int = 0
    floors: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: dict[Session, set[int]] = field(default_factory=dict)
    newest: dict[Session, int] = field(default_factory=dict)
    entered: dict[Session, int] = field(default_factory=dict)
    """Floor from which a session came."""

    def verdict(self, letter: Letter, now: float) -> str:
        session = (letter.topic, letter.sender, letter.session)
        if letter.sent > now + SKEW_S:
            return "timestamp_future"
        if letter.sent < now - VALIDITY_S:
            return "timestamp_old"
        if letter.sent <= self.floor(session):
            return "timestamp_old"
        if session not in self.seen:
            return ""
        below = letter.sequence < max(self.seen[session]) - WINDOW
        return "replayed" if below or letter.sequence in self.seen[session] else ""

    def accept(self, letter: Letter) -> None:
        session = (letter.topic, letter.sender, letter.session)
        if letter.sent > self.mark:
            self.mark = letter.sent + 5
        if session not in self.seen:
            self.entered[session] = self.floor(session)
            group = [other for other in self.seen if self.place(other) == self.place(session)]
            if len(group) >= MOST[self.signed]:
                self.forget(min(group, key=lambda each: self.newest[each]))
        self.seen.setdefault(session, set()).add(letter.sequence)
        self.newest[session] = max(letter.sent, self.newest.get(session, 0))

    def forget(self, session: Session) -> None:
        place = self.place(session)
        self.floors[place] = max(self.floors.get(place, 0), self.newest.pop(session))
        del self.seen[session], self.entered[session]

    def age(self, now: float) -> None:
        for session in [each for each in self.seen if self.newest[each] < now - VALIDITY_S - SKEW_S]:
            self.forget(session)

    def crash(self) -> None:
        self.own_floor = max(self.own_floor, self.mark)
        self.seen.clear()
        self.newest.clear()
        self.entered.clear()
        self.floors.clear()

    def floor(self, session: Session) -> int:
        now = max(self.own_floor, self.floors.get(self.place(session), 0))
        return self.entered.get(session, now)

    def place(self, session: Session) -> tuple[str, str]:
        """Where a floor holds."""
        return session[0], session[1] if self.signed else ""


class ReplayMachine(RuleBasedStateMachine):
    suite: Suite

    @initialize()
    def begin(self) -> None:
        table = (epoch_of(self.suite, topic_key("key"), EPOCH, validity_s=VALIDITY_S),)
        self.device = Device2(self.suite, topics=dict.fromkeys(TOPICS, table), knows=SENDERS)
        self.naive = Naive(self.suite.signature is not None)
        self.now = SECOND + 0.25
        self.delivered: list[Letter] = []
        self.accepted: set[Letter] = set()

    @rule(letter=letters)
    def deliver(self, letter: Letter) -> None:
        self.take(letter.but(sent=int(self.now) + letter.sent))

    @rule(letter=letters, count=st.integers(2, 5))
    def deliver_in_order(self, letter: Letter, count: int) -> None:
        for i in range(count):
            if letter.sequence + i < 1 << 32:
                self.take(letter.but(sent=int(self.now), sequence=letter.sequence + i))

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        self.take(data.draw(st.sampled_from(self.delivered)))

    @rule(seconds=st.integers(-20, 140))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def tidy_up(self) -> None:
        self.device.client.erase_expired(self.now)
        self.naive.age(self.now)

    @rule()
    def restart(self) -> None:
        self.device.restart(clean=True)

    @rule()
    def crash(self) -> None:
        self.device.restart(clean=False)
        self.naive.crash()

    @precondition(lambda self: self.accepted)
    @rule()
    def crash_and_hear_everything_again(self) -> None:
        """After one new message of the session that was heard last."""
        self.crash()
        last = next(letter for letter in reversed(self.delivered) if letter in self.accepted)
        self.now = max(self.now, self.naive.own_floor)
        self.take(last.but(sent=int(self.now) + 1, sequence=min(last.sequence + 1, 2**32 - 1)))
        for letter in list(dict.fromkeys(self.delivered)):
            self.take(letter)

    def take(self, letter: Letter) -> None:
        expected = self.naive.verdict(letter, self.now)
        try:
            self.device.accept(letter, self.now)
            verdict = ""
        except E4Error as error:
            verdict = error.kind
        assert verdict == expected
        self.delivered.append(letter)
        if not verdict:
            assert letter not in self.accepted, "accepted twice"
            self.accepted.add(letter)
            self.naive.accept(letter)


class SymmetricMachine(ReplayMachine):
    suite = SIV_SK


class PublicKeyMachine(ReplayMachine):
    suite = GCM_PK


_MACHINE = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSymmetric = SymmetricMachine.TestCase
TestSymmetric.settings = _MACHINE
TestPublicKey = PublicKeyMachine.TestCase
TestPublicKey.settings = _MACHINE
