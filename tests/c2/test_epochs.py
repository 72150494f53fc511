# SPDX-License-Identifier: Apache-2.0
"""Epochs: no number is used twice for a topic name, whatever happens to the topic and to the clock."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from e4c2 import epochs, topics
from e4core.errors import Conflict
from tests.c2.conftest import FORMAT2, Worlds
from tests.c2.world import World

pytestmark = pytest.mark.format(2)


def epoch(world: World, name: str) -> int:
    of = world.suite.derive_id(name)
    return world.do(epochs.of, [of])[of].number


def remake(world: World) -> None:
    world.do(topics.remove, "t")
    world.do(topics.create, "t")


def rotate(world: World) -> None:
    world.do(topics.rotate, "t")


def evict(world: World) -> None:
    world.do(topics.join, "t", ["a"])
    world.do(topics.leave, "t", ["a"])


def test_first_epoch_is_the_second_in_which_the_topic_is_made(world: World) -> None:
    world.do(topics.create, "t")
    assert epoch(world, "t") == int(world.clock.now)


def test_no_number_comes_again_whatever_happens(all_worlds: Worlds) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.tuples(st.sampled_from([remake, rotate, evict]), st.sampled_from([0, 0.3, 1, 7, 1e5, -1, -1e5])),
            max_size=12,
        )
    )
    def law(history: list[tuple[object, float]]) -> None:
        world = all_worlds(FORMAT2[0])
        try:
            world.add("a")
            world.do(topics.create, "t")
            seen = [epoch(world, "t")]
            for use, step in history:
                world.clock.now += step
                use(world)  # type: ignore[operator]
                seen.append(epoch(world, "t"))
            assert seen == sorted(set(seen))
            assert all(number > 0 for number in seen)
        finally:
            all_worlds.close()

    law()


def test_topics_have_epochs_of_their_own(world: World) -> None:
    for name in "tu":
        world.do(topics.create, name)
    for _ in range(3):
        world.do(topics.rotate, "t")
    assert epoch(world, "t") == epoch(world, "u") + 3


def test_when_the_numbers_are_used_up_nothing_changes(world: World) -> None:
    world.clock.now = float(2**32 - 2)
    world.do(topics.create, "t")
    world.do(topics.rotate, "t")
    assert epoch(world, "t") == 2**32 - 1
    with world.refuses(Conflict):
        world.do(topics.rotate, "t")
    world.clock.now += 10
    with world.refuses(Conflict):
        world.do(topics.create, "u")


@pytest.mark.format(1)
def test_format_1_has_none(world: World) -> None:
    world.add("a")
    world.topic("t", "a")
    world.do(topics.rotate, "t")
    world.settle_down()
    empty = world.store.run(
        lambda db: [db.scalar(sa.text(f"SELECT count(*) FROM {t}")) for t in ("topic_epoch", "command_sequence")]
    )
    assert empty == [0, 0]
