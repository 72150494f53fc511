# SPDX-License-Identifier: Apache-2.0
"""A C2 that is backed up while it serves, lost, restored, and confirmed through its API."""

from __future__ import annotations

import asyncio
from pathlib import Path

from e4c2.recovery import offline
from tests.c2.served import operation, problem, serving, settings_in


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
