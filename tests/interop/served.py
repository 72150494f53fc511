# SPDX-License-Identifier: Apache-2.0
"""``e4 serve`` as another process, that can be killed and started again on the same database, and a look into that database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import sqlalchemy as sa

from e4c2 import clients, topics
from e4c2.model import client, outbox, topic
from e4c2.rows import Realm, reveal
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.keys import TopicKey
from e4core.suite import Suite
from e4kms import file as kek_file

KEK_URI = "file:kek.json"
STOP_S = 20.0


class ServedC2:
    """One C2 of the suite ``sk`` in ``folder``; many processes, one after the other."""

    def __init__(self, folder: Path, broker: str) -> None:
        self.data = folder / "data"
        self.url = ""
        self._log = folder / "c2.log"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("E4_")},
            "E4_DATA": str(self.data),
            "E4_BROKER": broker,
            "E4_PORT": "0",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the API listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "e4cli", "serve", "--output", "json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                cwd=self._log.parent,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()
        self.url = json.loads(line)["url"]

    def kill(self) -> None:
        """As a crash does: nothing is finished."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait(STOP_S)
            assert process.stdout is not None
            process.stdout.close()

    def http(self) -> httpx2.AsyncClient:
        """The API of the process that runs now, with the first token."""
        token = (self.data / "admin-token").read_text().strip()
        return httpx2.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=STOP_S, trust_env=False
        )


@contextmanager
def served(folder: Path, broker: str) -> Iterator[ServedC2]:
    """Not yet started; killed at the end."""
    c2 = ServedC2(folder, broker)
    try:
        yield c2
    finally:
        c2.kill()


@dataclass(frozen=True)
class Facts:
    """What the database says of a topic: its key, its members; and of deliveries: how many, by state, to reporting devices or not."""

    key: TopicKey
    members: frozenset[str]
    confirming: Counter[str]
    silent: Counter[str]


@contextmanager
def database(data: Path, suite: Suite) -> Iterator[tuple[Store, Realm]]:
    """The database of a C2 that may be at work meanwhile; closed before a C2 that was killed starts again, which must be alone."""
    store = Store(data / "c2.sqlite")
    try:
        kms = kek_file.open_kms(f"file://{data}/kek.json")
        yield store, store.run(open_realm, suite, {KEK_URI: kms}, KEK_URI, time.time)
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
        members=frozenset(clients.require(db, realm, name)["id"].hex() for name in members),
        confirming=states[True],
        silent=states[False],
    )
