# SPDX-License-Identifier: Apache-2.0
"""Any history of SetTopicKey, RemoveTopic and clocks: what is held, read and sent with follows from what the C2 has said."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from e4core.command2 import RemoveTopic
from e4core.epochs import HELD_MOST
from e4core.errors import E4Error
from e4core.report import Outcome
from e4core.suite import Suite
from tests.core.fleet import SECOND, TOPIC, digest_of, topic_key
from tests.core.fleet2 import NEVER, Device2, Letter, full_hash, set_key
from tests.core.suites2 import GCM_PK, SIV_SK

times = st.one_of(st.integers(-30, 60), st.just(None))


@dataclass
class Said:
    """What the C2 has said of an epoch, and whether its key was erased."""

    key: str
    use: int
    not_after: int
    until: int = NEVER
    erased: bool = False

    def is_over(self, now: float) -> bool:
        return now >= self.until or (self.not_after > 0 and now >= self.not_after + 1)


class EpochsMachine(RuleBasedStateMachine):
    suite: Suite

    @initialize()
    def begin(self) -> None:
        self.device = Device2(self.suite, topics={})
        self.said: dict[int, Said] = {}
        self.now = SECOND + 0.5
        self.sequence = 0

    @rule(
        epoch=st.integers(0, 14),
        key=st.sampled_from(["", "", "another"]),
        use=st.integers(0, 1),
        not_after=times,
        older_until=times,
    )
    def set_key(self, epoch: int, key: str, use: int, not_after: int | None, older_until: int | None) -> None:
        ends = 0 if not_after is None else int(self.now) + not_after
        older = NEVER if older_until is None else int(self.now) + older_until
        name = key or str(epoch)
        before = self.device.client.state
        handled = self.device.command(set_key(epoch, name, use=use, not_after=ends, older_until=older), now=self.now)
        held = self.said.get(epoch)
        conflict = not epoch or (held.key != name if held else bool(self.said) and epoch < max(self.said))
        if conflict:
            assert self.device.ack(handled).refusal == "epoch_conflict"
            assert self.device.client.state.topics == before.topics
            return
        assert handled.outcome is Outcome.APPLIED
        self.said[epoch] = Said(name, use, ends, held.until if held else NEVER)
        for number, other in self.said.items():
            if number < epoch:
                other.until = min(other.until, older)
        while len(self.said) > HELD_MOST:
            del self.said[min(self.said)]
        self.fade()

    @rule()
    def remove(self) -> None:
        self.device.command(RemoveTopic(full_hash(TOPIC)), now=self.now)
        self.said.clear()

    @rule(seconds=st.integers(-5, 40))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds
        self.device.client.erase_expired(self.now)
        self.fade()

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        self.device.restart(clean=clean)

    @rule()
    def protect(self) -> None:
        sends = [number for number, said in self.said.items() if said.use]
        expected = "topic_key_missing"
        if sends:
            newest = self.said[max(sends)]
            expired = newest.not_after and newest.not_after < newest.until
            expected = ("key_expired" if expired else expected) if newest.erased else str(max(sends))
        try:
            data = self.device.client.protect(b"", TOPIC, self.now)
            assert str(int.from_bytes(data[1:5], "little")) == expected
        except E4Error as error:
            assert error.kind == expected

    @rule(epoch=st.integers(1, 15))
    def unprotect(self, epoch: int) -> None:
        said = self.said.get(epoch)
        self.sequence += 1
        letter = Letter(
            epoch=epoch,
            key=topic_key(said.key if said else str(epoch)),
            sequence=self.sequence,
            session=self.sequence.to_bytes(8, "little"),
            sent=int(self.now) + 20,
        )
        if not self.said:
            expected = "topic_key_missing"
        elif said and not said.erased:
            expected = ""
        else:
            expected = "epoch_unknown" if epoch > max(self.said) else "epoch_retired"
        try:
            self.device.accept(letter, self.now)
            assert expected == ""
        except E4Error as error:
            # a crash may have closed the time of this message; then its epoch was in order all the same
            assert error.kind in (expected, "timestamp_old" if expected == "" else expected)

    @invariant()
    def no_key_outlives_its_time_and_none_goes_early(self) -> None:
        table = self.device.client.state.topics.get(full_hash(TOPIC), ())
        assert {epoch.number: epoch.key is None for epoch in table} == {n: said.erased for n, said in self.said.items()}
        assert [epoch.number for epoch in table] == sorted(self.said)

    @invariant()
    def the_digest_says_what_the_c2_has_said(self) -> None:
        topics = {}
        if self.said:
            sends = max((number for number, said in self.said.items() if said.use), default=0)
            newest = max(self.said)
            topics[full_hash(TOPIC)] = (sends, newest, topic_key(self.said[newest].key))
        peers = {peer: keys.public for peer, keys in self.device.client.state.peers.items()}
        assert self.device.hello(self.now).digest == digest_of(topics, peers)

    def fade(self) -> None:
        sends = max((number for number, said in self.said.items() if said.use), default=0)
        for number, said in list(self.said.items()):
            if said.is_over(self.now):
                said.erased = True
            if said.erased and number not in (sends, max(self.said)):
                del self.said[number]


class SymmetricMachine(EpochsMachine):
    suite = SIV_SK


class PublicKeyMachine(EpochsMachine):
    suite = GCM_PK


_MACHINE = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestSymmetric = SymmetricMachine.TestCase
TestSymmetric.settings = _MACHINE
TestPublicKey = PublicKeyMachine.TestCase
TestPublicKey.settings = _MACHINE
