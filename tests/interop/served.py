# SPDX-License-Identifier: Apache-2.0
"""``e4 serve`` as another process, that can be killed and started again on the same database, and a look into that database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import sqlalchemy as sa

from e4c2 import topics
from e4c2.model import client, outbox, topic
from e4c2.rows import Realm, reveal
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.keys import TopicKey
from e4core.suite import Suite
from e4kms import file as kek_file
from tests.interop.c2 import PATIENCE_S

KEK_URI = "file:kek.json"
ROOT = Path(__file__).parents[2]


class ServedC2:
    """One C2 of the suite ``sk`` in ``folder``; many processes, one after the other."""

    def __init__(self, folder: Path, keeper: subprocess.Popen[str]) -> None:
        self.data = folder / "data"
        self.url = ""
        self._keeper = keeper

    def start(self) -> None:
        """Returns when the API listens."""
        self.url = self._tell("start", "listening")["url"]

    def kill(self) -> None:
        """As a crash does: nothing is finished."""
        self._tell("kill", "killed")

    def http(self) -> httpx2.AsyncClient:
        """Has the first token; outlives the processes, as their `url` does not."""
        token = (self.data / "admin-token").read_text().strip()
        return httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S, trust_env=False)

    def _tell(self, order: str, answer: str) -> dict[str, str]:
        stdin, stdout = self._keeper.stdin, self._keeper.stdout
        assert stdin and stdout
        print(order, file=stdin, flush=True)
        event: dict[str, str] = json.loads(stdout.readline() or "{}")
        assert event.get("event") == answer, f"no C2; its messages are in {self.data.with_name('c2.log')}"
        return event


@contextmanager
def served(folder: Path, broker: str) -> Iterator[ServedC2]:
    """Not yet started; killed at the end."""
    own = {"E4_DATA": str(folder / "data"), "E4_BROKER": broker, "E4_PORT": "0"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("E4_")}
    with (
        (folder / "c2.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.interop.e4_serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**inherited, **own},
            cwd=ROOT,
            start_new_session=True,
        ) as keeper,
    ):
        try:
            yield ServedC2(folder, keeper)
        finally:
            os.killpg(keeper.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Facts:
    """A topic as the database has it, and how many deliveries are in which state, to devices that confirm and to silent ones."""

    key: TopicKey
    members: frozenset[str] = field(repr=False)
    confirming: Counter[str]
    silent: Counter[str]

    @property
    def states(self) -> set[str]:
        return {*self.confirming, *self.silent}


@contextmanager
def database(data: Path, suite: Suite) -> Iterator[tuple[Store, Realm]]:
    """The database of a C2 that may be at work meanwhile; closed before a C2 that was killed starts again, which must be alone."""
    store = Store(data / "c2.sqlite")
    try:
        kms = kek_file.open_kms(f"file://{data}/kek.json")
        yield store, store.run(open_realm, suite, {KEK_URI: kms}, time.time)
    finally:
        store.close()


def facts(db: sa.Connection, realm: Realm, topic_name: str) -> Facts:
    """A use case: it only reads."""
    row = topics.require(db, realm, topic_name)
    members = topics.members(db, realm, topic_name, limit=10_000)
    counts = sa.select(client.c.reports, outbox.c.state, sa.func.count()).join(client, client.c.id == outbox.c.client)
    states: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for reports, state, number in db.execute(counts.group_by(client.c.reports, outbox.c.state)):
        states[reports][state] = number
    return Facts(
        key=TopicKey(reveal(realm, topic, row, "key")),
        members=frozenset(member.id for member in members),
        confirming=states[True],
        silent=states[False],
    )
