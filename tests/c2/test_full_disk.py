# SPDX-License-Identifier: Apache-2.0
"""The disk of a database server is full: the C2 says so, loses nothing that it answered for, and goes on when there is room."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e4backends import sk
from e4c2.api import health
from e4c2.store import engine
from e4kms import file as kek_file
from tests.c2.chaos import TOPIC, Swarm
from tests.c2.served import Served, operation, problem, serving, settings_in
from tests.c2.test_health import mounted, mounts, part, wait_for
from tests.c2.test_read_only import require_sound, until
from tests.databases import KINDS, OPEN_TO_ALL, OWNER, DatabaseServer, Kind, database_server
from tests.servers import Mosquitto

DEVICES = 20
MIB: dict[Kind, int] = {"postgresql": 120, "mariadb": 220}
"""Of the disk: a new server takes two thirds of it."""
TOPICS_MOST = 3000
"""For so many there is no room in the files that a server has."""


@dataclass
class Disk:
    server: DatabaseServer

    @property
    def _ballast(self) -> Path:
        return self.server.folder / "ballast"

    def fill(self) -> None:
        with pytest.raises(OSError, match="No space"), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def make_room(self) -> None:
        """And start the server, if it did not survive that."""
        self._ballast.unlink(missing_ok=True)
        if not self.server.runs:
            self.server.start()


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    kind = request.param
    with (
        tempfile.TemporaryDirectory(prefix="e4-disk-", dir=OPEN_TO_ALL) as folder,
        mounted(Path(folder) / "disk", MIB[kind]) as disk,
    ):
        for each in (Path(folder), disk):
            each.chmod(0o755)  # the server runs as somebody else
        with database_server(kind, disk=disk) as server:
            yield Disk(server)


def fill_up(c2: Served) -> list[str]:
    """Names of the topics that it made until it refused one."""
    made: list[str] = []
    while (answer := c2.http.post("/v1/topics", json={"name": f"t{len(made)}"})).status_code == 201:
        made.append(f"t{len(made)}")
        assert len(made) < TOPICS_MOST
    problem(answer, 503, "storage")
    return made


@mounts
def test_a_full_disk_of_the_server_is_told_and_over_when_there_is_room(
    disk: Disk, mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)
    monkeypatch.setattr(engine, "FULL_FOR_S", 3.0)
    place, kek = disk.server.make(OWNER), f"file://{tmp_path}/kek.json"
    kek_file.create(tmp_path / "kek.json")
    swarm = Swarm(sk.SUITE, DEVICES)

    def held() -> set[bytes | None]:
        return {each.key(TOPIC) for each in swarm.members}

    def filled(c2: Served, topic: str) -> None:
        wait_for(c2, "/readyz", 200)
        disk.fill()
        made = fill_up(c2)
        problem(wait_for(c2, "/readyz", 503), 503, "storage")
        state, detail = part(c2, "database")
        assert state == "failed"
        assert "make room" in detail
        assert c2.http.get(f"/v1/topics/{topic}").status_code == 200
        disk.make_room()
        wait_for(c2, "/readyz", 200)
        listed = c2.http.get("/v1/topics?limit=1000").json()["items"]
        assert {each["name"] for each in listed} == {*made, TOPIC}, "all that was answered, and nothing else"
        operation(c2.http.post(f"/v1/topics/{topic}/rotate"))

    async def story(c2: Served, topic: str) -> None:
        async with swarm.connected(mosquitto.uri):
            swarm.greet(swarm.members)
            await until(lambda: len(held()) == 1 and held() != {None})
            before = held()
            await asyncio.to_thread(filled, c2, topic)
            await until(lambda: len(held()) == 1 and held() != before)

    with serving(settings_in(tmp_path, database=place, broker=mosquitto.uri, kms=[kek])) as c2:
        ids = [c2.client(each.name, bytes(each.private)) for each in swarm.members]
        try:
            asyncio.run(story(c2, c2.topic(TOPIC, *ids)))
        finally:
            disk.make_room()  # else it does not stop in order
        assert not c2.ended.done()
    require_sound(place, kek, held())
