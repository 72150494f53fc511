# SPDX-License-Identifier: Apache-2.0
"""A server that lets nobody write for a while: the C2 says so, loses nothing, and goes on with what waited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e4backends import sk
from e4c2.api import health
from e4c2.audit import verifying
from e4c2.store.address import Address
from e4kms import file as kek_file
from tests.c2.chaos import TOPIC, Swarm
from tests.c2.served import PATIENCE_S, Served, operation, problem, serving, settings_in
from tests.c2.shared import database
from tests.c2.test_health import part, wait_for
from tests.c2.world import Clock, World
from tests.databases import OWNER, DatabaseServer
from tests.servers import Mosquitto

__all__ = ["database"]

DEVICES = 20
_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
CLOSE = {
    "postgresql": ("ALTER DATABASE {name} SET default_transaction_read_only = on", _END_SESSIONS),
    "mariadb": ("SET GLOBAL read_only = 1",),
}
OPEN = {
    "postgresql": ("ALTER DATABASE {name} RESET default_transaction_read_only", _END_SESSIONS),
    "mariadb": ("SET GLOBAL read_only = 0",),
}
SAID = {"postgresql": "read-only transaction", "mariadb": "--read-only option"}


def require_sound(place: Address, kek: str, held: set[bytes | None]) -> None:
    """The ledger and the audit log add up, and devices hold what the database says."""
    world = World(sk.SUITE, place, kek, Clock(time.time()))  # which adds up the ledger
    try:
        world.do(verifying.verify_all)
        assert held == {world.topic_key(TOPIC)}
    finally:
        world.store.close()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not done():  # noqa: ASYNC110  told by nobody
            await asyncio.sleep(0.05)


def test_a_server_that_may_only_be_read_is_told_and_what_waited_is_delivered(
    database: DatabaseServer, mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)
    place, kek = database.make(OWNER), f"file://{tmp_path}/kek.json"
    kek_file.create(tmp_path / "kek.json")
    swarm = Swarm(sk.SUITE, DEVICES)

    def say(statements: tuple[str, ...]) -> None:
        for each in statements:
            database.sql(each.format(name=place.name))

    def held() -> set[bytes | None]:
        return {each.key(TOPIC) for each in swarm.members}

    def may_only_be_read(c2: Served, topic: str) -> None:
        mosquitto.kill()
        operation(c2.http.post(f"/v1/topics/{topic}/rotate"))  # waits for the broker
        say(CLOSE[place.kind])
        mosquitto.start()
        problem(wait_for(c2, "/readyz", 503), 503, "storage")
        state, detail = part(c2, "database")
        assert state == "failed"
        assert SAID[place.kind] in detail
        problem(c2.http.post(f"/v1/topics/{topic}/rotate"), 503, "storage")
        assert c2.http.get(f"/v1/topics/{topic}").status_code == 200

    async def story(c2: Served, topic: str) -> None:
        async with swarm.connected(mosquitto.uri):
            swarm.greet(swarm.members)
            await until(lambda: len(held()) == 1 and held() != {None})
            before, connections = held(), swarm.connections
            await asyncio.to_thread(may_only_be_read, c2, topic)
            await until(lambda: swarm.connections > connections)
            assert held() == before
            say(OPEN[place.kind])
            await asyncio.to_thread(wait_for, c2, "/readyz", 200)
            await until(lambda: len(held()) == 1 and held() != before)

    with serving(settings_in(tmp_path, database=place, broker=mosquitto.uri, kms=[kek])) as c2:
        ids = [c2.client(each.name, bytes(each.private)) for each in swarm.members]
        try:
            asyncio.run(story(c2, c2.topic(TOPIC, *ids)))
        finally:
            say(OPEN[place.kind])  # of a MariaDB it is the whole server, which others use too
        assert not c2.ended.done()
    require_sound(place, kek, held())
