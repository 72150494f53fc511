# SPDX-License-Identifier: Apache-2.0
"""However a C2 is killed while it rotates its keys and reseals its rows: nothing is lost, and the next one goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import takewhile

import pytest
import sqlalchemy as sa

from e4c2 import deks, ledger, resealing
from e4c2.model import topic
from e4c2.resealing import Mark
from e4c2.rows import Realm, find_all, insert_all, reveal
from e4kms.deks import State
from tests.c2.world import World

TOPICS = 1500
KILLS = 12


def make(db: sa.Connection, realm: Realm) -> None:
    rows = [
        {"id": n.to_bytes(16, "big"), "name": f"t{n}", "key": n.to_bytes(32, "big"), "created": 0.0, "rotated": 0.0}
        for n in range(TOPICS)
    ]
    insert_all(db, realm, topic, rows)


def keys(db: sa.Connection, realm: Realm) -> dict[bytes, bytes]:
    return {row["id"]: bytes(reveal(realm, topic, row, "key")) for row in find_all(db, realm, topic)}


@pytest.fixture
def forks(sk: World) -> Iterator[subprocess.Popen[str]]:
    """What runs `resealer`s."""
    command = [sys.executable, "-m", "tests.c2.resealer", str(sk.database), sk._kek_uri]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def killed(forks: subprocess.Popen[str], after: int, after_s: float) -> int:
    """How often the process had rotated. Args: after: so many rotations and ``after_s`` it is killed."""
    assert forks.stdin
    assert forks.stdout
    forks.stdin.write("\n")
    forks.stdin.flush()
    process = int(forks.stdout.readline())
    assert forks.stdout.readline() == "ready\n"
    for _ in range(after):
        assert forks.stdout.readline() != "ended\n"
    time.sleep(after_s)
    os.kill(process, signal.SIGKILL)
    return after + len(list(takewhile(lambda line: line != "ended\n", forks.stdout)))


def test_nothing_is_lost_however_a_c2_is_killed_while_it_reseals(sk: World, forks: subprocess.Popen[str]) -> None:
    sk.do(make)
    before = sk.do(keys)
    chance = random.Random(20_261_121)
    rotations, interrupted = 0, 0
    for _ in range(KILLS):
        sk.store.close()
        rotations += killed(forks, chance.randrange(2), chance.uniform(0.0, 0.2))
        sk.open()
        stored = sk.store.run(deks.load)
        interrupted += any(dek.state is State.PREPARED for dek in stored) or sum(sk.do(resealing.behind).values()) > 0
        assert sk.do(keys) == before
        sk.do(lambda db, realm: ledger.verify(db, realm.keyring))
    assert rotations > 1
    assert interrupted > 1, "no kill came in the midst of anything"
    mark: Mark | None = None
    while (mark := sk.do(resealing.reseal, mark).after) is not None:
        pass
    assert sum(sk.do(resealing.behind).values()) == 0
    assert sk.do(keys) == before
