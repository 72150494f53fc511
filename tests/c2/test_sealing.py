# SPDX-License-Identifier: Apache-2.0
"""The command clock (rule 9): whatever is sent and however the clock moves, e4go obeys, in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from e4c2 import c2keys, clients, commands, links, topics
from e4c2.model import Delivery, Kind, Reason, outbox
from e4core.command import (
    Command,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    SetTopicKey,
)
from e4core.errors import E4Error
from e4core.keys import Secret, control_topic
from e4core.plugins import load_suite
from tests.c2.conftest import Worlds
from tests.c2.devices import Witness
from tests.c2.world import Sent, World

pytestmark = pytest.mark.format(1)

# no shrinking: it would take minutes, and a history prints itself
LAW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
BARRIERS = (ResetTopics, ResetPubKeys, SetIDKey, SetC2Key)

FORGED = {"sk": (Kind.TOPIC, Kind.ID_KEY, Kind.RESET_TOPICS), "pk": (Kind.TOPIC, Kind.PEER, Kind.ID_KEY)}


def thing(command: Command) -> bytes:
    """The object that a command is on."""
    match command:
        case SetTopicKey(topic=it) | RemoveTopic(topic=it) | SetPubKey(client=it) | RemovePubKey(client=it):
            return bytes(it)
    return type(command).__name__.encode()


def check_rule_9(world: World, names: str) -> None:
    for name in names:
        mine = [sent for sent in world.wire if sent.topic == control_topic(world.devices[name].id)]
        assert all(sent.second <= sent.now for sent in mine), "in the future"
        assert [sent.second for sent in mine] == sorted(sent.second for sent in mine), "goes back"
        objects: dict[int, list[bytes]] = defaultdict(list)
        barriers: dict[int, int] = defaultdict(int)
        for second, command in dict.fromkeys((s, encoded(c)) for s, c in commands_in(world, name, mine)):
            objects[second].append(command[0])
            barriers[second] += command[1]
        for second, there in objects.items():
            assert len(there) == len(set(there)), "two commands on one object share a second"
            assert not barriers[second] or len(there) == 1, "a barrier shares its second"


def encoded(command: Command) -> tuple[bytes, bool]:
    return thing(command), isinstance(command, BARRIERS)


def commands_in(world: World, name: str, mine: list[Sent]) -> list[tuple[int, Command]]:
    """Commands as the witnesses see them: each once, however many keys it is sealed under."""
    found = world.sent_to(name, 0, list(dict.fromkeys([*world.privates[name], *new_keys(world, name)])))
    once: list[tuple[int, Command]] = []
    for each in found:
        if not once or once[-1] != each:
            once.append(each)
    assert len(found) <= len(mine)
    return once


def new_keys(world: World, name: str) -> list[Secret]:
    keys = list(world.privates[name])
    for _ in range(3):
        keys += [c.key for _, c in world.sent_to(name, 0, keys) if isinstance(c, SetIDKey) and c.key not in keys]
    return keys


@dataclass(frozen=True)
class Step:
    """One use case, or one step of the world; prints itself in a failure."""

    use: Callable[..., object]
    args: tuple[object, ...] = ()

    def __call__(self, world: World) -> None:
        if isinstance(self.use, FunctionType) and self.use.__module__ == __name__:
            self.use(world, *self.args)
        else:
            world.do(self.use, *self.args)


def step(use: Callable[..., object], *args: object) -> Step:
    return Step(use, args)


def move(world: World, seconds: float) -> None:
    world.clock.now += seconds


def moved(seconds: float) -> Step:
    return Step(move, (seconds,))


def pumped(world: World) -> None:
    world.carry()
    world.obey()


def crash(world: World) -> None:
    world.crash()


def claim_only(world: World) -> None:
    world.claim()


def finish(world: World) -> None:
    world.do(c2keys.finish, force=True)


COMMON: list[Step] = [
    *(step(topics.rotate, t) for t in "tu"),
    *(step(topics.leave, t, [d]) for t in "tu" for d in "aw"),
    *(step(topics.join, t, [d]) for t in "tu" for d in "aw"),
    *(step(clients.reset, d) for d in "aw"),
    *(step(clients.new_key, d, Reason.ROUTINE) for d in "aw"),
    *(step(clients.confirm_key, d) for d in "aw"),
    Step(crash),
    Step(claim_only),
]
PUBLIC: list[Step] = [
    step(links.send, "a", "w"),
    step(links.send, "w", "a"),
    step(links.remove, "w", "a"),
    step(links.reset, "w"),
    step(c2keys.new, Reason.ROUTINE),
    Step(finish),
]


def steps(suite: str) -> st.SearchStrategy[list[Step]]:
    uses = st.sampled_from(COMMON + ([] if load_suite(suite).is_symmetric else PUBLIC))
    times = st.sampled_from([0.0, 0.4, 1.0, 3.0, 700.0, -0.5, -2.0, -30.0]).map(moved)
    pair = st.tuples(uses, st.sampled_from([Step(pumped), Step(pumped), moved(0)]), times)
    return st.lists(pair, min_size=3, max_size=12).map(lambda parts: [each for part in parts for each in part])


@pytest.mark.parametrize("suite", ["sk", "pk"])
def test_seconds_never_go_back_nor_ahead_and_no_object_shares_one(all_worlds: Worlds, suite: str) -> None:
    @settings(LAW)
    @given(steps(suite))
    def law(history: list[Step]) -> None:
        world = all_worlds(suite)
        try:
            world.add("a")
            world.add("w", Witness)
            for name in "tu":
                world.do(topics.create, name)
                world.do(topics.join, name, ["a", "w"])
            latest = world.clock.now
            for each in history:
                with suppress(E4Error):
                    each(world)
                latest = max(latest, world.clock.now)
            world.clock.now = latest + 60
            for _ in range(30):
                pumped(world)
                world.clock.now += 1
            check_rule_9(world, "aw")
            assert not world.count(Delivery.PENDING)
        finally:
            all_worlds.close()

    law()


def test_commands_are_back_dated_for_devices_that_tolerate_no_future(world: World) -> None:
    world.add("w", Witness)
    world.topic("t", "w")
    assert [sent.second for sent in world.wire] == [int(sent.now) - 5 for sent in world.wire]


def test_what_would_lie_in_the_future_waits_and_holds_back_what_follows(world: World) -> None:
    world.add("w", Witness)
    for topic in "tu":
        world.topic(topic, "w")
    for _ in range(8):
        world.do(topics.rotate, "t")
        world.carry()
    world.do(topics.rotate, "t")
    world.do(topics.rotate, "u")
    assert world.claim() == []
    world.clock.now += 3
    before = len(world.wire)
    while world.carry():
        world.clock.now += 1
    assert [thing(each) for _, each in world.sent_to("w", before)] == [world.suite.derive_id(t) for t in "tu"]


def test_device_that_waits_does_not_hold_back_another(world: World) -> None:
    world.add("a", Witness)
    world.add("b", Witness)
    world.topic("t", "a")
    for _ in range(8):
        world.do(topics.rotate, "t")
        world.carry()
    world.do(topics.rotate, "t")
    world.do(topics.join, "t", ["b"])
    before = len(world.wire)
    world.carry()
    assert (world.sent_to("a", before), len(world.sent_to("b", before))) == ([], 1)


def test_objects_of_their_own_share_a_second_and_a_barrier_shares_none(world: World) -> None:
    world.add("w", Witness)
    for topic in "tuv":
        world.do(topics.create, topic)
        world.do(topics.join, topic, ["w"])
    world.do(clients.reset, "w")
    world.settle_down()
    sent = world.sent_to("w")
    (barrier,) = (second for second, each in sent if isinstance(each, ResetTopics))
    (shared,) = {second for second, each in sent if second > barrier and isinstance(each, SetTopicKey)}
    assert shared > barrier
    assert not [each for second, each in sent if second == barrier and not isinstance(each, ResetTopics)]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_order_of_deliveries_is_kept_in_portions_of_any_size(world: World, limit: int) -> None:
    world.add("w", Witness)
    world.add("v", Witness)
    for topic in "tuxy":
        world.do(topics.create, topic)
        world.do(topics.join, topic, ["w", "v"])
    world.do(clients.reset, "w")
    order = [each.id for each in world.deliveries("w")]
    claimed: list[int] = []
    for _ in range(100):
        sealed = world.claim(limit)
        claimed += [each.id for each in sealed if each.client == world.devices["w"].id]
        world.settle(sealed)
        world.clock.now += 0.3
    assert claimed == [each for each in order if each in claimed]
    assert not world.count(Delivery.PENDING)


def test_rows_of_the_outbox_that_nobody_could_have_written_grant_nothing(world: World) -> None:
    """Who can write to the database may ask for commands, and gets only what the granting rows say."""
    a, b = world.add("a"), world.add("b")
    world.topic("t", "b")

    def forge(db: sa.Connection) -> None:
        for kind in FORGED[world.suite.name]:
            target = world.suite.derive_id("t") if kind is Kind.TOPIC else bytes(b.id)
            commands.enqueue(db, world.realm, None, [a.id], kind, target)

    world.store.run(forge)
    world.store.run(lambda db: db.execute(sa.update(outbox).values(purge=False)) and None)
    world.settle_down()
    kinds = {type(each) for _, each in world.sent_to("a")}
    assert not kinds & {SetTopicKey, SetPubKey, SetIDKey}
    assert (a.client.state.topics, a.client.state.peers) == ({}, {})
