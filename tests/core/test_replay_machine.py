# SPDX-License-Identifier: Apache-2.0
"""Any history of deliveries, repeats, crashes, restarts, clocks and commands: no message is accepted twice, no fresh one lost."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from e4backends import pk, sk
from e4core.command import Command, RemovePubKey, RemoveTopic, SetPubKey, SetTopicKey
from e4core.errors import E4Error, NotFresh
from e4core.suite import Suite
from tests.core.fleet import NOW, Device, client_id, message, private_of, topic_hash, topic_key

TOPICS = ("a", "b")
SENDERS = ("sender", "other")

Letter = tuple[str, str, int, bytes]
"""Topic, sender, second, bytes."""

parts = st.tuples(
    st.sampled_from(TOPICS),
    st.sampled_from(SENDERS),
    st.sampled_from([b"0", b"1"]),
    st.integers(-3, 12) | st.integers(-32, 605),
)
"""Topic, sender, payload, age in seconds."""


class Receiver(RuleBasedStateMachine):
    """A device, and beside it a model of what it must accept."""

    suite: Suite

    @initialize()
    def begin(self) -> None:
        self.letters: list[Letter] = []
        self.device = Device(self.suite, topics={t: topic_key(t) for t in TOPICS}, knows=SENDERS)
        self.now, self.commanded = NOW, int(NOW)
        self.accepted: set[tuple[str, bytes]] = set()
        self.mark = self.floor = 0
        self.oldest = 0.0  # begin of the window when the clock was furthest: what is older may have been forgotten
        self.held, self.known = set(TOPICS), set(SENDERS)

    @rule(burst=st.lists(parts, min_size=1, max_size=5))
    def send_and_deliver(self, burst: list[tuple[str, str, bytes, int]]) -> None:
        for topic, sender, payload, age in burst:
            second = int(self.now) - age
            data = message(self.suite, payload, second, topic_key(topic), sender)
            self.letters.append((topic, sender, second, data))
            self.deliver(self.letters[-1])

    @rule(choices=st.lists(st.integers(0, 1_000), min_size=1, max_size=5))
    def deliver_again(self, choices: list[int]) -> None:
        for choice in choices:
            if self.letters:
                self.deliver(self.letters[choice % len(self.letters)])

    def deliver(self, letter: Letter) -> None:
        topic, _, second, data = letter
        before = self.device.client.state
        try:
            self.device.client.unprotect(data, topic, self.now)
        except E4Error as error:
            assert self.device.client.state == before
            if self._must_accept(letter):
                raise AssertionError(f"a fresh message was lost: {error.kind}") from error
            assert (topic, data) not in self.accepted or isinstance(error, NotFresh) or not self._readable(letter)
            return
        assert (topic, data) not in self.accepted, "accepted twice"
        assert self._readable(letter)
        assert second > self.floor
        self.accepted.add((topic, data))
        if second > self.mark:
            self.mark = second + 5
        self.oldest = max(self.oldest, self.now - 600)

    @rule(seconds=st.sampled_from([0.5, 1, 3, 30, 299.75, 700]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([1, 20, 650]))
    def set_the_clock_back(self, seconds: float) -> None:
        self.now -= seconds

    @rule()
    def restart_in_order(self) -> None:
        self.device.restart(clean=True)

    @rule()
    def crash(self) -> None:
        self.device.restart(clean=False)
        self.floor = max(self.floor, self.mark)

    @rule(topic=st.sampled_from(TOPICS))
    def remove_topic(self, topic: str) -> None:
        if self._command(RemoveTopic(topic_hash(topic))):
            self.held.discard(topic)

    @rule(topic=st.sampled_from(TOPICS))
    def set_topic_key(self, topic: str) -> None:
        if self._command(SetTopicKey(topic_key(topic), topic_hash(topic))):
            self.held.add(topic)

    @precondition(lambda self: not self.suite.is_symmetric and self.known)
    @rule(data=st.data())
    def remove_sender(self, data: st.DataObject) -> None:
        sender = data.draw(st.sampled_from(sorted(self.known)))
        if self._command(RemovePubKey(client_id(sender))):
            self.known.discard(sender)

    @precondition(lambda self: not self.suite.is_symmetric)
    @rule(sender=st.sampled_from(SENDERS))
    def set_sender(self, sender: str) -> None:
        if self._command(SetPubKey(private_of(self.suite, sender)[32:], client_id(sender))):
            self.known.add(sender)

    @rule(full=st.booleans())
    def fail_to_save_a_command(self, full: bool) -> None:
        """A command that cannot be saved must leave the memory as it was."""
        self.device.store.full = True
        try:
            self._command(RemoveTopic(topic_hash(TOPICS[full])))
        except E4Error as error:
            assert error.kind == "storage"
        self.device.store.full = False

    def _command(self, command: Command) -> bool:
        """Send it in a second of its own; False where the clock forbids that."""
        second = max(self.commanded + 1, int(self.now))
        if second > self.now + 30:
            return False
        self.commanded = second
        assert self.device.command(command, second, self.now).error is None
        self.oldest = max(self.oldest, self.now - 600)
        return True

    def _readable(self, letter: Letter) -> bool:
        topic, sender, second, _ = letter
        known = self.suite.is_symmetric or sender in self.known
        return topic in self.held and known and self.now - 600 <= second <= self.now + 30

    def _must_accept(self, letter: Letter) -> bool:
        topic, _, second, data = letter
        seen = (topic, data) in self.accepted
        return self._readable(letter) and not seen and second > self.floor and second >= self.oldest


class SymmetricReceiver(Receiver):
    suite = sk.SUITE


class PublicKeyReceiver(Receiver):
    suite = pk.SUITE


HISTORIES = settings(max_examples=60, stateful_step_count=30, deadline=None, report_multiple_bugs=False)
TestSymmetric = SymmetricReceiver.TestCase
TestSymmetric.settings = HISTORIES
TestPublicKey = PublicKeyReceiver.TestCase
TestPublicKey.settings = HISTORIES
