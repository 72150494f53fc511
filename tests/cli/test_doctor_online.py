# SPDX-License-Identifier: Apache-2.0
"""``e4 doctor --online``: what is wrong with a C2 at work is found from elsewhere."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from e4c2.recovery import look_broker
from e4c2.recovery.findings import Level
from e4cli import doctor_online
from e4cli.api_client import Document
from e4core.errors import TransportError
from tests.c2.served import Served, serving, settings_in
from tests.cli.command import e4
from tests.servers import StartMosquitto, free_port


def found(c2: Served, code: int) -> dict[str, dict[str, Any]]:
    env = {"E4_URL": c2.started.url, "E4_TOKEN_FILE": str(c2.settings.admin_token_file)}
    told = e4("doctor", "--online", "--output", "json", env=env)
    assert told.returncode == code, told.stderr
    return {each["check"]: each for each in json.loads(told.stdout)}


def test_what_is_wrong_with_a_c2_at_work_is_found(tmp_path: Path, start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto()
    with serving(settings_in(tmp_path, broker=broker.uri)) as c2:
        c2.clock.ahead_s = 100
        away = c2.client("away")
        seen = found(c2, 1)
        assert set(doctor_online.LOOKS) < set(seen)
        assert {name for name, each in seen.items() if each["level"] == "failure"} == {"broker access"}
        assert (seen["clock"]["level"], seen["clock"]["found"][:35]) == (
            "warning",
            "the clock of the C2 is 100 s away f",
        )
        assert seen["replicas"]["found"] == "1 C2 at work on the database"
        assert seen["c2 database"]["level"] == seen["kms"]["level"] == seen["release"]["level"] == "ok"
        broker.kill()
        c2.topic("t", away)
        c2.clock.ahead_s = 3600
        while c2.http.get("/readyz").status_code == 200:
            time.sleep(0.1)
        seen = found(c2, 1)
        failing = {name for name, each in seen.items() if each["level"] == "failure"}
        assert failing == {"c2 broker", "outbox"}
        assert seen["broker access"]["level"] == "unknown"


class Told:
    """A C2 that answers what it is told to."""

    def __init__(self, **answer: Any) -> None:
        self._answer = Document({"items": [], **answer})

    def get(self, path: str, **query: str | int | list[str]) -> Document:
        return self._answer


UP, DOWN = {"uri": "file:kek.json", "failure": None}, {"uri": "vault+https://vault", "failure": "sealed"}


@pytest.mark.parametrize(
    ("name", "answer", "level"),
    [
        ("kms", {"items": [UP, DOWN]}, Level.WARNING),
        ("kms", {"items": [DOWN]}, Level.FAILURE),
        ("replicas", {"replicas": 0}, Level.FAILURE),
        ("replicas", {"replicas": 3}, Level.OK),
        ("release", {"release": "0.0.1"}, Level.WARNING),
        ("outbox", {"items": [{"created": 1000.0}], "time": 1599.0}, Level.OK),
    ],
)
def test_each_check_judges_what_it_is_told(name: str, answer: dict[str, Any], level: Level) -> None:
    assert doctor_online.LOOKS[name](Told(**answer)).level is level


def test_an_answer_that_is_none_is_an_error_of_ours() -> None:
    with pytest.raises(TransportError, match="no number"):
        doctor_online.clock(Told(time="noon"))


def test_a_c2_that_does_not_answer_is_an_error() -> None:
    told = e4("doctor", "--online", "--url", f"http://127.0.0.1:{free_port()}", env={"E4_TOKEN": "e4_" + "x" * 43})
    assert told.returncode not in (0, 1)
    assert b"Traceback" not in told.stderr


def test_a_broker_that_cannot_be_verified_is_not_said_to_refuse_strangers() -> None:
    """Whatever it would have said."""

    async def story() -> Level:
        async def gone(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"this is no TLS")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(gone, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return (await look_broker.stranger(f"mqtts://127.0.0.1:{port}")).level

    assert asyncio.run(story()) is Level.UNKNOWN
