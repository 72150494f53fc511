# SPDX-License-Identifier: Apache-2.0
"""Any history of changes, losses, crashes and absences: once all is quiet, everybody holds what they should (rules 1, 3)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from e4c2 import c2keys, clients, commands, links, topics
from e4c2.model import Delivery, Reason, outbox
from e4core.errors import Conflict, E4Error, NotFound
from e4core.keys import Secret, control_topic
from tests.c2.conftest import Worlds
from tests.c2.devices import Ours, Witness
from tests.c2.world import World

OURS, ALL, TOPICS = "abc", "abcw", "tu"
BOUND = settings(
    max_examples=10,
    stateful_step_count=18,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking would take minutes; a history prints itself
)

device = st.sampled_from(ALL)
reporting = st.sampled_from(OURS)
topic = st.sampled_from(TOPICS)
some = st.lists(device, min_size=1, max_size=3, unique=True)


class Fleet(RuleBasedStateMachine):
    """Three devices of ours, which may be away, and one like e4go, which never is, as nothing could tell what it missed."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.members: dict[str, set[str]] = {name: set() for name in TOPICS}
        self.links: set[tuple[str, str]] = set()
        self.thieves: list[tuple[str, Ours]] = []
        self.crashes = 0
        for name in ALL:
            world.add(name, Witness if name == "w" else Ours)
        for name in TOPICS:
            world.do(topics.create, name)

    def public_keys(self) -> bool:
        return not self.world.suite.is_symmetric

    # ------------------------------------------------------------------------------------------- what operators do

    @rule(name=topic, who=some)
    def join(self, name: str, who: list[str]) -> None:
        self.world.do(topics.join, name, who)
        self.members[name] |= set(who)

    @rule(name=topic, who=some)
    def leave(self, name: str, who: list[str]) -> None:
        thieves = [d.thief() for d in map(self.world.devices.get, who) if isinstance(d, Ours)]
        with suppress(NotFound):
            self.world.do(topics.leave, name, who)
            self.members[name] -= set(who)
            if self.public_keys():
                self.links -= {
                    (holder, peer) for holder, peer in self.links if peer not in self.world.names(links.page, holder)
                }
            self.thieves += [(name, thief) for thief in thieves]

    @rule(name=topic)
    def rotate(self, name: str) -> None:
        self.world.do(topics.rotate, name)

    @rule(name=topic)
    def make_anew(self, name: str) -> None:
        self.world.do(topics.remove, name)
        self.world.do(topics.create, name)
        self.members[name] = set()

    @rule(name=device)
    def reset(self, name: str) -> None:
        self.world.do(clients.reset, name)

    @rule(name=device)
    def new_key(self, name: str) -> None:
        with suppress(Conflict):
            self.world.do(clients.new_key, name, Reason.ROUTINE)

    @rule(name=reporting)
    def compromised(self, name: str) -> None:
        world = self.world
        world.do(clients.new_key, name, Reason.COMPROMISED)
        private = Secret(world.suite.device.generate())
        version = world.do(c2keys.active_version)
        world.do(clients.enrol, name, world.public(private), version)
        old = world.devices[name]
        world.devices[name] = Ours(world.suite, name, old.id, private, world.c2_public(version))
        world.devices[name].away = old.away

    @precondition(public_keys)
    @rule(holder=device, peer=device)
    def link(self, holder: str, peer: str) -> None:
        if holder != peer:
            self.world.do(links.send, holder, peer)
            self.links.add((holder, peer))

    @precondition(public_keys)
    @rule(holder=device)
    def unlink(self, holder: str) -> None:
        self.world.do(links.reset, holder)
        self.links = {each for each in self.links if each[0] != holder}

    @precondition(public_keys)
    @rule()
    def new_c2_key(self) -> None:
        with suppress(Conflict):
            self.world.do(c2keys.new, Reason.ROUTINE)

    # ---------------------------------------------------------------------------------------------- what happens

    @rule(seconds=st.sampled_from([0.3, 1, 2, 7, 40, 700, 5000]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.now += seconds

    @rule(times=st.integers(1, 3))
    def work(self, times: int) -> None:
        for _ in range(times):
            self.world.carry()
            self.world.obey()
            self.world.receive()
            self.world.clock.now += 1

    @rule(name=reporting)
    def goes_away(self, name: str) -> None:
        self.world.devices[name].away = True
        self.world.devices[name].inbox.clear()

    @rule(name=reporting)
    def comes_back(self, name: str) -> None:
        if self.world.devices[name].away:
            self.world.devices[name].away = False
            self.world.greet(name)

    @rule(name=device, newest=st.integers(1, 5))
    def delivered_again(self, name: str, newest: int) -> None:
        """To devices of ours only: e4go obeys a repeat, whatever it undoes."""
        of = self.world.devices[name]
        mine = [sent.payload for sent in self.world.wire if sent.topic == control_topic(of.id)]
        if isinstance(of, Ours) and not of.away:
            of.inbox.extend(mine[-newest:])

    @rule()
    def reports_are_lost(self) -> None:
        self.world.reports.clear()

    @rule(published=st.integers(0, 4), obeyed=st.booleans())
    def crash(self, published: int, obeyed: bool) -> None:
        for each in self.world.claim()[:published]:
            self.world.publish(each)
        if obeyed:
            self.world.obey()
        self.world.crash()

    # -------------------------------------------------------------------------------------------------- the end

    def teardown(self) -> None:
        world = self.world
        for each in world.devices.values():
            each.away = False
        for _ in range(3):
            world.settle_down()
            world.clock.now += 40
            world.greet()
        world.settle_down()
        with suppress(E4Error):
            world.do(clients.confirm_key, "w")
        with suppress(E4Error):
            world.do(c2keys.finish, force=True)
        world.settle_down()
        world.clock.now += 5
        self.check()

    def check(self) -> None:
        world = self.world
        for name in OURS:
            assert world.digest_fits(name), f"{name} does not hold what it should"
            assert world.states(name) == []
            assert not world.do(clients.show, name).key_change, f"the key change of {name} never ended"
            if self.public_keys():
                newest = bytes.fromhex(world.do(c2keys.all_versions)[-1].public)
                assert world.devices[name].client.state.c2_public == newest, f"{name} never got the C2's new key"  # type: ignore[attr-defined]
        assert world.count(Delivery.PENDING, Delivery.SENDING) == 0
        for name, members in self.members.items():
            assert set(world.names(topics.members, name)) == members
            for sender in members:
                heard = {each for each in members - {sender} if self.believes(each, sender)}
                assert world.readers(name, sender) == heard, f"{name} from {sender}"
        for name, thief in self.thieves:
            with suppress(E4Error):
                forged = thief.write(name, world.clock.now, b"forged")
                believing = {n for n in ALL if n != thief.name and world.devices[n].read(name, forged, world.clock.now)}
                assert not believing, f"{thief.name}, evicted from {name}, still speaks"

    def believes(self, holder: str, sender: str) -> bool:
        return self.world.suite.is_symmetric or (holder, sender) in self.links


@pytest.mark.parametrize("suite", ["sk", "pk"])
def test_whatever_happened_all_hold_what_they_should_once_it_is_quiet(worlds: Worlds, suite: str) -> None:
    make: Any = lambda: Fleet(worlds(suite))  # noqa: E731  any callable will do
    run_state_machine_as_test(make, settings=BOUND)


def test_requeue_after_a_crash_is_idempotent(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    world.claim()
    world.crash()
    before = world.dump()
    world.store.run(commands.requeue, outbox.c.state == Delivery.SENDING.value)
    assert world.dump() == before
