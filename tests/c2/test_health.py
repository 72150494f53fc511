# SPDX-License-Identifier: Apache-2.0
"""What breaks under a C2 is told, corrupts nothing, and is over when it is over."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e4c2.api import health
from tests.c2.served import PATIENCE_S, Served, operation, problem, serving, settings_in

mounts = pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="mounts need root")
"""In CI a runner that is not root fails: there nothing is left out."""


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "GOOD_FOR_S", 0.0)


@contextmanager
def mounted(folder: Path, mib: int) -> Iterator[Path]:
    """A disk of its own, of this size."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def wait_for(c2: Served, path: str, status: int) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while (answer := c2.http.get(path)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.02)
    return answer


def part(c2: Served, name: str) -> tuple[str, str]:
    parts = c2.http.get("/v1/c2/health").json()["parts"]
    (found,) = (each for each in parts if each["name"] == name)
    return found["state"], found["detail"]


def is_sound(database: Path) -> bool:
    with sqlite3.connect(database) as db:
        return bool(db.execute("PRAGMA integrity_check").fetchone() == ("ok",))


@mounts
def test_a_full_disk_is_told_and_over_when_there_is_room(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8) as disk, serving(settings_in(tmp_path, data=disk)) as c2:
        topic = c2.topic("room", c2.client("lamp"))
        wait_for(c2, "/readyz", 200)
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        problem(wait_for(c2, "/readyz", 503), 503, "storage")
        assert c2.http.get("/livez").status_code == 200
        assert part(c2, "disk")[0] == "failed"
        assert "make room" in part(c2, "disk")[1]
        # there is room for a while in the files that it has
        made = [f"t{n}" for n in range(300) if c2.http.post("/v1/topics", json={"name": f"t{n}"}).status_code == 201]
        assert len(made) < 300
        listed = c2.http.get("/v1/topics?limit=1000").json()["items"]
        assert sorted(each["name"] for each in listed) == sorted([*made, "room"]), (
            "all that was answered, and nothing else"
        )
        ballast.unlink()
        wait_for(c2, "/readyz", 200)
        operation(c2.http.post(f"/v1/topics/{topic}/rotate"))
        assert not c2.ended.done()
        assert is_sound(disk / "c2.sqlite")


def test_a_database_that_may_only_be_read_is_told_and_over_when_it_may_be_written(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        c2.client("lamp")
        wait_for(c2, "/readyz", 200)
        with sqlite3.connect(c2.settings.data / "c2.sqlite", isolation_level=None, timeout=PATIENCE_S) as other:
            other.execute("CREATE TRIGGER read_only BEFORE UPDATE ON realm BEGIN SELECT RAISE(ABORT, 'read only'); END")
            problem(wait_for(c2, "/readyz", 503), 503, "storage")
            assert "read only" in part(c2, "database")[1]
            other.execute("DROP TRIGGER read_only")
        wait_for(c2, "/readyz", 200)


def test_strangers_hear_yes_or_no_and_nothing_else(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2, c2.stranger() as anybody:
        assert set(anybody.get("/readyz").json()) == {"status"}
        assert anybody.get("/livez").json() == {"status": "ok"}
        problem(anybody.get("/v1/c2/health"), 401)


def test_on_this_machine_it_is_told_without_a_token(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, metrics_port=0)) as c2, c2.stranger() as anybody:
        assert c2.started.metrics
        assert c2.started.metrics.startswith("http://127.0.0.1:")
        local = c2.started.metrics.removesuffix("/metrics")
        assert "e4_health{" in anybody.get(f"{local}/metrics").text
        assert anybody.get(f"{local}/livez").status_code == 200
        assert set(anybody.get(f"{local}/readyz").json()) == {"status"}
        assert anybody.get(f"{local}/v1/topics").status_code == 404
