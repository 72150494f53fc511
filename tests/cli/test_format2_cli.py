# SPDX-License-Identifier: Apache-2.0
"""Enrolment by commands in suites of Format 2, where a device has two key pairs, and so has the C2."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from e4backends import fips, pq_pyca
from e4cli import device_loop
from e4core.command2 import Sync
from e4core.report import Hello
from e4core.suite import Suite
from tests.c2.served import PATIENCE_S
from tests.c2.test_app_command import Process
from tests.cli.command import answer, ok, running
from tests.core.suites2 import GCM_SK
from tests.device.test_format2 import TOPIC, Fleet, new_key, set_key, tell

YEAR_S = 365 * 24 * 3600


class Site:
    """A C2 and what commands need to reach it."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        self.suite, self.folder = suite, folder
        self.c2 = Process(folder, E4_SUITE=suite.name)
        token = str(folder / self.c2.listening["admin_token_file"])
        self.env: Mapping[str, str] = {"E4_URL": self.c2.listening["url"], "E4_TOKEN_FILE": token}

    def ask(self, *arguments: str | Path) -> Any:
        return answer(*arguments, env=self.env)

    def key(self, name: str) -> tuple[Path, Path]:
        """A fresh device key: its private file, and what is registered."""
        private = self.folder / name
        ok("keygen", "--suite", self.suite.name, "--out", private, env=self.env)
        return private, private if self.suite.is_symmetric else self.folder / f"{name}.pub"

    def c2_key(self) -> list[str | Path]:
        """As ``e4 device init`` takes the public keys of the C2."""
        held = self.c2.http.get("/v1/c2").json()["c2_keys"]
        if not held:
            return []
        file = self.folder / "c2.pub"
        file.write_bytes(bytes.fromhex(held[-1]["public"]))
        return ["--c2-key", file]


@pytest.fixture(params=[fips.SUITE_SK, pq_pyca.SUITE], ids=lambda suite: suite.name)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    site = Site(request.param, tmp_path)
    yield site
    site.c2.end(signal.SIGTERM)


def test_key_files_have_both_pairs(site: Site) -> None:
    private, registered = site.key("lamp")
    assert len(private.read_bytes()) == site.suite.device.private_len
    assert len(registered.read_bytes()) == site.suite.device.public_len
    assert private.stat().st_mode & 0o777 == 0o600


def years_behind(folder: Path, env: Mapping[str, str]) -> Mapping[str, str]:
    """An environment in which Python's clock is wrong."""
    folder.mkdir()
    wrong = f"import time\nright = time.time\ntime.time = lambda: right() - {10 * YEAR_S}\n"
    (folder / "sitecustomize.py").write_text(wrong)
    return {**env, "PYTHONPATH": str(folder)}


def test_devices_enrolled_in_either_way_confirm_their_topic_key_and_one_has_no_clock(site: Site) -> None:
    private, registered = site.key("lamp")
    lamp, door = site.folder / "lamp.state", site.folder / "door.state"
    site.ask("device", "init", "lamp", "--suite", site.suite.name, "--key", private, "--state", lamp, *site.c2_key())
    site.ask("clients", "create", "lamp", "--key", registered)
    site.ask("clients", "create", "door", "--generate", "--state", door)
    site.ask("topics", "create", "hall")
    operation = site.ask("topics", "join", "hall", "lamp", "door")
    broker = ["--broker", site.c2.listening["broker"], "--subscribe", "hall", "--hello-delay", "0"]
    wrong = years_behind(site.folder / "wrong", site.env)
    with (
        running("device", "run", "--state", lamp, *broker, env=site.env),
        running("device", "run", "--state", door, *broker, "--publish", "hall", "--no-clock", env=wrong) as clockless,
    ):
        clockless.event("connected")
        assert clockless.remark() == b"not synchronised; waiting for the time from the C2\n"
        clockless.write(b"open\n")
        clockless.event("synchronised")
        deadline, counts = time.monotonic() + PATIENCE_S, operation["counts"]
        while counts != {"confirmed": 2} and time.monotonic() < deadline:
            time.sleep(0.1)
            counts = site.c2.http.get(f"/v1/operations/{operation['id']}").json()["counts"]
        heard = clockless.event("message")
        assert site.ask("device", "show", "--state", door)["synchronised"]
    assert counts == {"confirmed": 2}
    assert (heard["text"], abs(float(heard["timestamp"]) - time.time()) < YEAR_S) == ("open", True)
    assert json.loads(ok("device", "show", "--state", lamp, "--output", "json", env=site.env))["topics"]


def test_without_a_clock_a_line_waits_for_the_time_though_the_key_is_held() -> None:
    async def story(fleet: Fleet) -> None:
        async with (
            fleet.enrol("door") as door,
            fleet.device(door, clock=time.monotonic, trusted=False) as device,
        ):
            hello = await door.next_of(Hello)
            await door.command(set_key(GCM_SK, 1, new_key()))
            publishing = asyncio.create_task(device_loop._publish(device, TOPIC, b"open"))
            await asyncio.sleep(0.05)
            assert not publishing.done()
            await door.command(Sync(hello.nonce, int(time.time() * 1000)))
            await publishing
            assert device.counters.published == 1

    tell(GCM_SK, story)
