# SPDX-License-Identifier: Apache-2.0
"""Reports that are taken by many at once come to the same as one by one."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import reports, topics
from e4c2.c2keys import Versions
from e4c2.catching_up import EVERY_S
from e4c2.model import Delivery
from e4c2.rows import Realm
from e4core.errors import Conflict, E4Error, NotFound
from e4core.transport import Incoming
from tests.c2.conftest import Worlds
from tests.c2.world import World, ours

NAMES = tuple("abcdef")
STEPS = 100
ENOUGH = 5
"""Of the batches of a story, to have changed something."""
OF_DELIVERIES = (
    "kind",
    "object",
    "state",
    "purge",
    "attempts",
    "not_before",
    "second",
    "sequence",
    "purge_tags",
    "refusal",
)
SEEN = (
    f"SELECT client, {', '.join(OF_DELIVERIES)} FROM outbox ORDER BY client, id",
    "SELECT id, status, reports, c2_key, last_report, pending_key IS NULL FROM client ORDER BY id",
    "SELECT client, last, confirmed FROM command_sequence ORDER BY client",
    "SELECT kind, client FROM event ORDER BY kind, client",
)


class Story:
    """Chance, and what it may do to a fleet."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, random.Random(seed)
        self.taken: list[Incoming] = []
        self.first = {name: world.add(name).client.state for name in NAMES}

    def some(self) -> list[str]:
        return self.chance.sample(NAMES, self.chance.randrange(1, len(NAMES)))

    def rotate(self) -> None:
        self.world.do(topics.rotate, self.chance.choice("tu"))

    def join(self) -> None:
        with suppress(Conflict):
            self.world.do(topics.join, self.chance.choice("tu"), [self.chance.choice(NAMES)])

    def leave(self) -> None:
        with suppress(NotFound, Conflict):
            self.world.do(topics.leave, self.chance.choice("tu"), [self.chance.choice(NAMES)])

    def greet(self) -> None:
        self.world.greet(*self.some())

    def lose(self) -> None:
        """What waits at some devices."""
        for name in self.some():
            self.world.devices[name].inbox.clear()

    def forget(self) -> None:
        """One goes back to what it was when it was enrolled."""
        name = self.chance.choice(NAMES)
        ours(self.world, name).start(self.first[name])

    def replay(self) -> None:
        if self.taken:
            self.world.reports.append(self.chance.choice(self.taken))

    def carry(self) -> None:
        self.world.carry()

    def wait(self) -> None:
        self.world.clock.now += self.chance.choice((1, 1, 5, EVERY_S))

    def obey(self) -> None:
        self.world.obey()

    @property
    def acts(self) -> list[Callable[[], None]]:
        often = [self.carry, self.carry, self.wait, self.wait, self.obey, self.obey, self.rotate]
        return [*often, self.join, self.leave, self.greet, self.lose, self.forget, self.replay]


def copy(world: World, path: Path) -> World:
    path.touch(0o600)
    with closing(sqlite3.connect(world.database)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    other = World(world.suite, path, world._kek_uri, world.clock)
    other.realm.astray.update(world.realm.astray)
    return other


def seen(world: World) -> list[list[Any]]:
    return world.store.run(lambda db: [[tuple(row) for row in db.execute(sa.text(each))] for each in SEEN])


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[Incoming]:
    """Reports that `reports.receive_all` looks at one by one."""
    looked_at: list[Incoming] = []
    receive = reports.receive

    def counted(db: sa.Connection, realm: Realm, keys: Versions, incoming: Incoming) -> None:
        looked_at.append(incoming)
        receive(db, realm, keys, incoming)

    monkeypatch.setattr(reports, "receive", counted)
    return looked_at


@pytest.mark.parametrize("suite", ["sk", "pk", "fips-sk", "fips-pk"])
@pytest.mark.parametrize("seed", range(4))
def test_many_at_once_come_to_the_same_as_one_by_one(
    all_worlds: Worlds, suite: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = all_worlds(suite)
    story = Story(world, seed)
    world.do(topics.create, "t")
    world.do(topics.create, "u")
    world.do(topics.join, "t", list(NAMES))
    one_by_one = count_looks(monkeypatch)
    reported = changes = 0
    for step in range(STEPS):
        story.chance.choice(story.acts)()
        if story.chance.random() < 0.4 and world.reports:
            batch = list(world.reports)
            other = copy(world, tmp_path / f"{step}.db")
            before = seen(other)
            refused = []
            for incoming in batch:
                try:
                    other.take(incoming)
                except E4Error as error:
                    refused.append(error.kind)
            assert sorted(each.kind for each in world.receive()) == sorted(refused)
            assert seen(world) == seen(other)
            changes += seen(world) != before
            reported += len(batch)
            assert world.realm.astray == other.realm.astray
            other.store.close()
            story.taken += batch
    assert changes >= ENOUGH
    assert len(one_by_one) < 0.9 * reported  # few here are as nearly all are elsewhere
    world.settle_down()
    assert world.count(Delivery.CONFIRMED)
