# SPDX-License-Identifier: Apache-2.0
"""A C2 and a fleet of devices to which anything may happen, and what must be true once all is quiet."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from e4c2 import c2keys, clients, commands, delivery, holdings, links, topics
from e4c2.access.patterns import EVERY
from e4c2.model import Delivery, Reason, client, operation
from e4c2.retention import KEPT_S, OVERTAKEN_KEPT_S
from e4c2.rows import reveal
from e4core.errors import Conflict, E4Error, NotFound
from e4core.keys import Secret, control_topic
from tests.c2.devices import Ours, Witness
from tests.c2.world import World

OURS, ALL, TOPICS = "abc", "abcw", "tu"
device = st.sampled_from(ALL)
reporting = st.sampled_from(OURS)
topic = st.sampled_from(TOPICS)
some = st.lists(device, min_size=1, max_size=3, unique=True)


class Fleet(RuleBasedStateMachine):
    """Three devices, which may be away, and one that never is; in Format 1 that is like e4go, as nothing tells what it missed."""

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
        self.join(TOPICS[0], list(ALL))
        world.greet()
        world.settle_down()

    def public_keys(self) -> bool:
        return not self.world.suite.is_symmetric

    # ------------------------------------------------------------------------------------------- what operators do

    @rule(name=topic, who=some)
    def join(self, name: str, who: list[str]) -> None:
        self.world.do(topics.join, name, who)
        self.members[name] |= set(who)

    @rule(name=topic, who=some)
    def leave(self, name: str, who: list[str]) -> None:
        thieves = self.copies(name, who)
        with suppress(NotFound):
            self.world.do(topics.leave, name, who)
            self.members[name] -= set(who)
            if self.public_keys():
                self.links -= {
                    (holder, peer) for holder, peer in self.links if peer not in self.world.names(links.page, holder)
                }
            self.thieves += thieves

    def copies(self, name: str, who: Collection[str]) -> list[tuple[str, Ours]]:
        """Of those about to lose a topic, as they are now."""
        return [(name, d.thief()) for d in map(self.world.devices.get, sorted(who)) if isinstance(d, Ours)]

    @rule(name=topic)
    def rotate(self, name: str) -> None:
        self.world.do(topics.rotate, name)

    @rule(name=topic)
    def make_anew(self, name: str) -> None:
        self.thieves += self.copies(name, self.members[name])
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
    def cancel_key(self, name: str) -> None:
        """By an operator who knows that the device uses its old key."""
        world = self.world
        row = world.do(clients.require, name)
        held = world.public(world.devices[name].client.state.private)  # type: ignore[attr-defined]
        if held == world.do(lambda _, realm: reveal(realm, client, row, "key")):
            with suppress(Conflict):
                world.do(clients.cancel_key, name)

    @rule(name=reporting)
    def compromised(self, name: str) -> None:
        self.thieves += [each for t in TOPICS if name in self.members[t] for each in self.copies(t, name)]
        self.world.do(clients.new_key, name, Reason.COMPROMISED)
        self.enrol(name)

    def enrol(self, name: str) -> None:
        """A device in place of the one that is trusted no more."""
        world = self.world
        private = Secret(world.suite.device.generate())
        version = world.do(c2keys.active_version)
        world.do(clients.enrol, name, world.public(private), version)
        world.privates[name].append(private)
        old = world.devices[name]
        world.devices[name] = type(old)(world.suite, name, old.id, private, world.c2_public(version))  # type: ignore[call-arg, arg-type]
        world.devices[name].away = old.away

    @rule(name=reporting)
    def replaced(self, name: str) -> None:
        """The client is removed, and another made under its name."""
        for t in TOPICS:
            if name in self.members[t]:
                self.thieves += self.copies(t, name)
                self.members[t].remove(name)
        self.world.do(clients.remove, name)
        self.world.add(name)
        self.links = {each for each in self.links if name not in each}

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

    @precondition(public_keys)
    @rule(force=st.booleans())
    def c2_key_finished(self, force: bool) -> None:
        with suppress(Conflict, NotFound):
            self.world.do(c2keys.finish, force)

    @precondition(public_keys)
    @rule()
    def c2_compromised(self) -> None:
        self.world.do(c2keys.new, Reason.COMPROMISED)
        for name in ALL:
            self.enrol(name)

    # ---------------------------------------------------------------------------------------------- what happens

    @rule(seconds=st.sampled_from([0.3, 1, 2, 7, 40, 700, 5000, 2 * OVERTAKEN_KEPT_S, 2 * KEPT_S]))
    def time_passes(self, seconds: float) -> None:
        self.world.clock.now += seconds
        self.world.do(delivery.tidy)
        before = self.told()
        self.world.thin()
        assert self.told() == before, "who asks sees what is off the record"

    def told(self) -> dict[str, Any]:
        """What operators see of deliveries, other than these themselves."""
        world = self.world
        operations = world.store.run(lambda db: list(db.scalars(sa.select(operation.c.id))))
        counts: dict[str, Any] = {each.hex(): world.store.run(commands.count, each) for each in operations}
        for name in TOPICS:
            of = world.do(topics.require, name)["id"]
            counts[name] = world.do(holdings.count, of), world.do(holdings.laggards, of, "", 100, EVERY)
        return counts

    @rule(times=st.integers(1, 3))
    def work(self, times: int) -> None:
        for _ in range(times):
            self.world.carry()
            self.world.obey()
            self.world.receive()
            self.world.clock.now += 1

    @rule(lost=st.sampled_from([None, 0, -1]), turned=st.booleans(), reports_turned=st.booleans())
    def work_over_a_bad_broker(self, lost: int | None, turned: bool, reports_turned: bool) -> None:
        """For devices of ours only: e4go obeys in whatever order, and nothing tells what it missed."""
        self.world.carry()
        for name in OURS:
            inbox = self.world.devices[name].inbox
            if inbox and lost is not None:
                del inbox[lost]
            if turned:
                inbox.reverse()
        self.world.obey()
        if reports_turned:
            self.world.reports.reverse()
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
        for name in (name for name in ALL if isinstance(world.devices[name], Ours)):
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
        self.check_thieves()

    def check_thieves(self) -> None:
        world = self.world
        for name, thief in self.thieves:
            with suppress(E4Error):
                forged = thief.write(name, world.clock.now, b"forged")
                believing = {n for n in ALL if n != thief.name and world.devices[n].read(name, forged, world.clock.now)}
                assert not believing, f"{thief.name}, evicted from {name}, still speaks"

    def believes(self, holder: str, sender: str) -> bool:
        return self.world.suite.is_symmetric or (holder, sender) in self.links
