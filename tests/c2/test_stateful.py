# SPDX-License-Identifier: Apache-2.0
"""Any history of changes, losses, crashes and absences: once all is quiet, everybody holds what they should (rules 1, 3)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from e4c2 import c2keys, commands, plans, retention, topics
from e4c2.model import AtDeadline, Delivery, outbox
from e4c2.plans import Plan, Terms
from e4core.errors import Conflict, NotFound
from tests.c2.conftest import FORMAT1, FORMAT2, Worlds
from tests.c2.fleet import Fleet, device, reporting, some, topic
from tests.c2.world import World
from tests.suites import EVERY, installed

BOUND = settings(
    max_examples=6,
    stateful_step_count=18,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # shrinking would take minutes; a history prints itself
)


class Pressed(Fleet):
    """Histories that chance alone would hardly ever write, woven into those that it does."""

    @rule(name=topic, others=some, back=device)
    def leave_and_be_taken_back(self, name: str, others: list[str], back: str) -> None:
        """At once, so that it was not yet told to forget anything."""
        who = sorted(self.members[name] & {*others, back})
        if back in who:
            self.leave(name, who)
            self.join(name, [back])

    @rule(name=topic, who=device, lost=st.sampled_from([None, 0]), reports_turned=st.booleans())
    def evict_over_a_bad_broker(self, name: str, who: str, lost: int | None, reports_turned: bool) -> None:
        if who in self.members[name]:
            self.world.settle_down()
            self.leave(name, [who])
            self.work_over_a_bad_broker(lost, turned=lost is None, reports_turned=reports_turned)
            self.settle_down()

    @rule(name=reporting)
    def miss_a_new_key_for_long(self, name: str) -> None:
        self.goes_away(name)
        self.new_key(name)
        self.work(1)
        self.time_passes(2 * retention.KEPT_S)
        self.comes_back(name)

    @rule(name=topic)
    def rotate_day_after_day(self, name: str) -> None:
        """What was done the day before leaves the record."""
        for _ in range(2):
            self.rotate(name)
            self.work(2)
            self.time_passes(2 * retention.OVERTAKEN_KEPT_S)

    @precondition(Fleet.public_keys)
    @rule()
    def change_the_c2_key_twice(self) -> None:
        """The first is confirmed when the second is under way."""
        self.new_c2_key()
        self.world.carry()
        self.world.obey()
        with suppress(NotFound):
            self.world.do(c2keys.finish, force=True)
        self.new_c2_key()
        self.world.receive()

    @rule()
    def settle_down(self) -> None:
        for name in tuple(self.world.devices):
            self.world.devices[name].away = False
        self.world.settle_down()
        self.world.clock.now += 12
        self.world.greet()
        self.world.settle_down()
        self.world.clock.now += 3
        self.check_thieves()


class Planned(Pressed):
    """With keys that members hold before they are used."""

    @rule(name=topic, quorum=st.sampled_from([0.5, 1.0]), at=st.sampled_from(AtDeadline), automatic=st.booleans())
    def plan(self, name: str, quorum: float, at: AtDeadline, automatic: bool) -> None:
        terms = Terms(quorum=quorum, within_s=3600, at_deadline=at, automatic=automatic)
        with suppress(Conflict):
            self.world.do(plans.begin, name, terms)

    @rule(name=topic, ended=st.sampled_from([plans.activate, plans.abort]))
    def end(self, name: str, ended: Callable[..., Plan]) -> None:
        for each in self.world.do(plans.page, name):
            force = {"force": True} if ended is plans.activate else {}
            with suppress(Conflict):
                self.world.do(ended, name, each.id, **force)

    @rule()
    def drive(self) -> None:
        for each in self.world.do(plans.due):
            with suppress(Conflict):
                self.world.do(plans.drive, each)


@pytest.mark.parametrize("suite", [*FORMAT1, *FORMAT2])
def test_whatever_happened_all_hold_what_they_should_once_it_is_quiet(worlds: Worlds, suite: str) -> None:
    make: Any = lambda: Pressed(worlds(suite))  # noqa: E731  any callable will do
    run_state_machine_as_test(make, settings=BOUND)


@pytest.mark.parametrize("suite", FORMAT2)
def test_so_do_they_with_planned_rotations_amid_it(worlds: Worlds, suite: str) -> None:
    make: Any = lambda: Planned(worlds(suite))  # noqa: E731  any callable will do
    run_state_machine_as_test(make, settings=BOUND)


@pytest.mark.parametrize("suite", EVERY[2:])
def test_so_do_they_with_every_suite(worlds: Worlds, suite: str) -> None:
    """A few histories each: what the suites differ in is tried with each of them, what they share with the four above.

    With hash-based signatures one: each of the 70 that it takes costs what a whole history costs elsewhere.
    """
    signature = installed(suite).signature
    few = 1 if signature and signature.signature_len > 10_000 else 2
    make: Any = lambda: Pressed(worlds(suite))  # noqa: E731  any callable will do
    run_state_machine_as_test(make, settings=settings(BOUND, max_examples=few, stateful_step_count=8))


def test_requeue_after_a_crash_is_idempotent(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    world.claim()
    world.crash()
    before = world.dump()
    world.store.run(commands.requeue, outbox.c.state == Delivery.SENDING.value)
    assert world.dump() == before
