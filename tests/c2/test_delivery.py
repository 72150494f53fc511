# SPDX-License-Identifier: Apache-2.0
"""The way out: nothing is lost by a crash, nothing is sent thirty times, nothing overtakes (rules 1 to 3)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import c2keys, clients, links, topics
from e4c2.model import Delivery, Reason
from e4core.keys import control_topic
from tests.c2.devices import Ours, Witness
from tests.c2.world import World


def test_thirty_rotations_while_nothing_was_sent_are_one_command(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    before = len(world.wire)
    for _ in range(30):
        world.do(topics.rotate, "t")
    world.settle_down()
    for name in "ab":
        assert world.kinds_sent_to(name, before) == ["SetTopicKey"]
    states = [each.state for each in world.deliveries("a")]
    assert (states.count(Delivery.SUPERSEDED), states.count(Delivery.CONFIRMED)) == (29, 2)


def test_device_that_slept_through_thirty_rotations_gets_one_key_C_6(world: World) -> None:
    a = world.add("a")
    world.topic("t", "a")
    a.away = True
    for _ in range(30):
        world.do(topics.rotate, "t")
        world.settle_down()
        world.clock.now += 86400
    a.away = False
    before = len(world.wire)
    world.greet("a")
    world.settle_down()
    assert world.kinds_sent_to("a", before).count("SetTopicKey") == 1
    assert world.digest_fits("a")
    assert world.states("a") == []


@pytest.mark.parametrize("when", ["before claim", "claimed", "published", "settled", "obeyed"])
def test_crash_at_any_moment_of_a_delivery_loses_nothing(world: World, when: str) -> None:
    a, w = world.add("a"), world.add("w", Witness)
    for topic in "tu":
        world.topic(topic, "a", "w")
    world.do(topics.rotate, "t")
    world.do(clients.reset, "a")
    world.do(clients.reset, "w")
    if when != "before claim":
        sealed = world.claim()
        if when != "claimed":
            for each in sealed:
                world.publish(each)
        if when in ("settled", "obeyed"):
            world.settle(sealed)
        if when == "obeyed":
            world.obey()
            world.reports.clear()
    world.crash()
    world.settle_down()
    for topic in "tu":
        assert a.key(topic) == w.key(topic) == world.topic_key(topic)


def test_what_is_sent_again_and_waits_anew_is_sent_once(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    before = len(world.wire)
    world.do(topics.rotate, "t")
    world.claim()
    world.do(topics.rotate, "t")
    world.crash()
    world.settle_down()
    assert world.kinds_sent_to("a", before) == ["SetTopicKey"]


def test_eviction_that_is_sent_again_is_one_still(sk: World) -> None:
    """Sent again with what was lost before it, and by then a rotation waits, which takes its place."""
    a, w = sk.add("a"), sk.add("w", Witness)
    sk.topic("t", "a", "w")
    sk.topic("u", "w")
    thief = a.thief()
    sk.do(topics.rotate, "u")
    sk.do(topics.leave, "t", ["a"])
    lost = sk.claim()
    sk.settle(lost[1:])
    sk.do(topics.rotate, "t")
    sk.settle([], lost[:1])
    sk.settle_down()
    sk.clock.now += 3
    assert w.read("t", thief.write("t", sk.clock.now), sk.clock.now) is None


@pytest.mark.parametrize("kind", [Ours, Witness])
def test_reset_that_is_sent_again_does_not_wipe_what_was_sent_after_it(
    world: World, kind: type[Ours] | type[Witness]
) -> None:
    """What the broker refused is sent anew, and all that must follow it with it."""
    world.add("a", kind)
    world.add("b")
    if not world.suite.is_symmetric:
        world.do(links.send, "a", "b")
    world.topic("t", "a", "b")
    world.do(clients.reset, "a")
    for turn in range(10):
        sealed = world.claim()
        lost = sealed[:1] if turn == 0 else []
        sent = [each for each in sealed if each not in lost]
        for each in sent:
            world.publish(each)
        world.obey()
        world.reports.clear()  # not yet arrived when the loss is noticed
        world.settle(sent, lost)
        world.clock.now += 1
    world.settle_down()
    world.clock.now += 40
    assert world.readers("t", "b") == {"a"}


def test_delivery_that_is_known_to_be_confirmed_stays_so(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    for lost in (True, False):
        sealed = world.claim()
        for each in sealed:
            world.publish(each)
        world.obey()
        world.receive()
        world.settle([] if lost else sealed, sealed if lost else [])
        assert world.states() == []


def test_duplicates_of_commands_change_nothing(world: World) -> None:
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    changes: list[tuple[Any, str]] = [(topics.rotate, "t"), (clients.reset, "a")]
    for change, name in changes:
        world.do(change, name)
        before = len(world.wire)
        world.carry()
        world.obey()
        for sent in world.wire[before:] * 2:
            for device in world.devices.values():
                if control_topic(device.id) == sent.topic:
                    device.inbox.append(sent.payload)
        world.settle_down()
        assert world.digest_fits("a")
        assert world.states() == []


def test_use_case_that_fails_at_any_statement_changes_nothing(world: World) -> None:
    """A crash inside a transaction, at each of its statements in turn, and before its commit."""
    for name in "ab":
        world.add(name)
    world.topic("t", "a", "b")
    version = 0 if world.suite.is_symmetric else 1
    uses: list[Callable[[sa.Connection, Any], object]] = [
        lambda db, realm: clients.create(db, realm, "c", world.public(world.devices["a"].private), version),
        lambda db, realm: clients.new_key(db, realm, "a", Reason.ROUTINE),
        lambda db, realm: clients.new_key(db, realm, "a", Reason.COMPROMISED),
        lambda db, realm: clients.reset(db, realm, "a"),
        lambda db, realm: clients.remove(db, realm, "a"),
        lambda db, realm: topics.create(db, realm, "u"),
        lambda db, realm: topics.rotate(db, realm, "t"),
        lambda db, realm: topics.leave(db, realm, "t", ["a"]),
        lambda db, realm: topics.remove(db, realm, "t"),
    ]
    if not world.suite.is_symmetric:
        uses += [
            lambda db, realm: links.send(db, realm, "a", "b"),
            lambda db, realm: c2keys.new(db, realm, Reason.ROUTINE),
            lambda db, realm: c2keys.new(db, realm, Reason.COMPROMISED),
        ]
    before = world.dump()
    for use in uses:
        for fail_at in count(1):
            with pytest.raises(Crash) as crash:
                world.do(_crashing(use, fail_at))
            assert world.dump() == before
            if crash.value.at_the_end:
                break


class Crash(BaseException):
    """Power cut."""

    at_the_end = False


def _crashing(use: Callable[[sa.Connection, Any], object], fail_at: int) -> Callable[[sa.Connection, Any], None]:
    """A use case of which only so many statements, less one, are done; or all, and then it is not committed."""

    def run(db: sa.Connection, realm: Any) -> None:
        statements = count(1)

        def each(*_: object) -> None:
            if next(statements) == fail_at:
                raise Crash

        sa.event.listen(db, "before_cursor_execute", each)
        try:
            use(db, realm)
        finally:
            sa.event.remove(db, "before_cursor_execute", each)
        end = Crash()
        end.at_the_end = True
        raise end

    return run
