# SPDX-License-Identifier: Apache-2.0
"""A C2 that is backed up while it serves, lost, restored, and confirmed through its API."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from e4c2.app import open_c2
from e4c2.audit import chain, checkpoints
from e4c2.audit.checkpoints import Pace
from e4c2.audit.records import Act
from e4c2.audit.signing import Checkpoint
from e4c2.recovery import offline
from e4c2.settings import Settings
from tests.c2.served import created, operation, problem, serving, settings_in

LONG = 1500
"""Records: several portions."""


def test_a_backup_of_a_c2_at_work_brings_it_back_paused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    file = tmp_path / "backup"
    with serving(settings) as c2:
        c2.topic("t", c2.client("a"))
        made = asyncio.run(offline.create(settings, file))
        c2.topic("later")
        assert c2.http.get("/v1/recovery").json()["state"] == "normal"
        problem(c2.http.post("/v1/recovery/confirm", json={"backup": made.id}), 409, "not_paused")
        old = c2.token
    backup, rows = asyncio.run(offline.verify(settings, file))
    assert (backup, rows > 0) == (made, True)
    assert asyncio.run(offline.show(settings, file)) == made
    settings = settings_in(tmp_path, database=str(tmp_path / "restored.sqlite"), kms=settings.kms)
    asyncio.run(offline.restore(settings, file, None))
    with serving(settings) as c2:
        with c2.stranger(old) as stranger:
            problem(stranger.get("/v1/recovery"), 401)
        assert c2.token != old
        shown = c2.http.get("/v1/recovery").json()
        assert (shown["state"], shown["backup"], shown["clients"], shown["topics"]) == ("paused", made.id, 1, 1)
        problem(c2.http.post("/v1/recovery/confirm", json={"backup": "00" * 16}), 409, "conflict")
        confirmed = operation(c2.http.post("/v1/recovery/confirm", json={"backup": made.id}))
        assert confirmed["kind"] == "recover"
        assert sum(confirmed["counts"].values()) == 1
        assert c2.http.get("/v1/recovery").json()["state"] == "normal"
        body = {"database": "00" * 16, "number": 1, "time": 1.5, "hash": "00" * 32, "signature": ""}
        problem(c2.http.post("/v1/recovery/compare", json=body), 422, "bad_signature")
        problem(c2.http.post("/v1/recovery/compare", json={**body, "hash": "0"}), 422, "bad_checkpoint")


async def long_log(settings: Settings) -> Checkpoint:
    """Of a log with many records, the last of which it is about."""
    async with open_c2(settings) as (c2, _):
        await c2.store.write(lambda db: [chain.append(db, c2.realm, Act("x")) for _ in range(LONG)])
        made = await c2.store.write(checkpoints.make, c2.realm, Pace(0))
    assert made is not None
    return made


def test_one_auditor_at_a_time_compares_and_nobody_else_does(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    body = asyncio.run(long_log(settings)).document()
    with serving(settings) as c2:
        for role, pattern in (("viewer", "*"), ("key-admin", "*"), ("auditor", "plant/*")):
            grants = [{"role": role, "clients": [pattern], "topics": [pattern]}]
            token = created(c2.http.post("/v1/tokens", json={"name": role, "grants": grants}))["token"]
            with c2.stranger(token) as http:
                problem(http.post("/v1/recovery/compare", json=body), 403, "forbidden")
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda _: c2.http.post("/v1/recovery/compare", json=body), range(6)))
        answers.sort(key=lambda answer: answer.status_code)
        assert answers[0].json() == {"behind": 0, "ahead": 4}  # the start and three tokens
        problem(answers[-1], 429, "rate_exceeded")
        assert c2.http.post("/v1/recovery/compare", json=body).json() == answers[0].json()
        forged = {**body, "number": body["number"] - 1}
        problem(c2.http.post("/v1/recovery/compare", json=forged), 422, "bad_signature")
