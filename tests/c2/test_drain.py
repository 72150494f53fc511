# SPDX-License-Identifier: Apache-2.0
"""SIGTERM in the midst of a rotation: what is on its way arrives or is given back, and nothing is lost."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from e4c2.model import Delivery
from tests.c2.served import PATIENCE_S, b64, created, operation
from tests.c2.test_app_command import Process
from tests.servers import StartMosquitto

DEVICES = 300


def states(folder: Path) -> dict[str, int]:
    with sqlite3.connect(folder / "e4-data" / "c2.sqlite") as db:
        return dict(db.execute("SELECT state, count(*) FROM outbox GROUP BY state"))


def peopled(c2: Process) -> str:
    """A topic of some hundred devices; its id."""
    devices = [{"name": f"d{n}", "key": b64(n.to_bytes(2) * 16)} for n in range(1, DEVICES + 1)]
    ids = [created(c2.http.post("/v1/clients", json=device))["id"] for device in devices]
    topic = str(created(c2.http.post("/v1/topics", json={"name": "t"}))["id"])
    operation(c2.http.post(f"/v1/topics/{topic}/members", json={"clients": ids}))
    return topic


@pytest.mark.parametrize("broker_takes", [True, False])
def test_a_stop_amid_a_rotation_leaves_nothing_claimed_and_loses_nothing(
    tmp_path: Path, start_mosquitto: StartMosquitto, broker_takes: bool
) -> None:
    broker = start_mosquitto()
    c2 = Process(tmp_path, E4_BROKER=broker.uri)
    topic = peopled(c2)
    if not broker_takes:
        broker.pause()
    operation(c2.http.post(f"/v1/topics/{topic}/rotate"))
    time.sleep(0.1)
    code, _, _ = c2.end(signal.SIGTERM)
    assert code == 0
    left = states(tmp_path)
    assert Delivery.SENDING.value not in left
    if not broker_takes:
        assert left[Delivery.PENDING.value] >= DEVICES
        broker.kill()
        broker.start()
    c2 = Process(tmp_path, E4_BROKER=broker.uri)
    deadline = time.monotonic() + PATIENCE_S
    while Delivery.PENDING.value in (found := states(tmp_path)) or Delivery.SENDING.value in found:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    c2.end(signal.SIGTERM)
    assert states(tmp_path)[Delivery.SENT.value] >= DEVICES


def test_a_second_signal_ends_at_once(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    c2 = Process(tmp_path, E4_BROKER=broker.uri)
    topic = peopled(c2)
    broker.pause()
    operation(c2.http.post(f"/v1/topics/{topic}/rotate"))
    time.sleep(0.5)
    c2.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        c2.process.wait(1)
    begun = time.monotonic()
    assert c2.end(signal.SIGTERM)[0] == 0
    assert time.monotonic() - begun < 4, "the broker would have had 5 s"
