# SPDX-License-Identifier: Apache-2.0
"""A C2 as a process, on PostgreSQL and mosquitto.

* ``start``: until it is ready, against importing its web, gRPC and SQL frameworks.
* ``api.read``, ``api.write``: a request that shows a topic without members (each costs two look-ups more), or makes one,
  against bare routes of the same framework.
* ``rotate.answer.10000``: the answer to a rotation of a topic with 10,000 members, against a bare statement that inserts as many
  rows into a table like the outbox.
* ``memory.100000``: the most that was resident with 100,000 clients and 1,000 topics, in bytes, against the bound of 300 MB.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from broker import mosquitto
from carrying import enrol, gather, opened
from http_load import each_s, request
from serving import Process, bare, c2
from timing import Figures, compare, seconds, typical

from e4c2.enrolment import bulk
from e4c2.store.address import Address
from tests.databases import DatabaseServer

CLIENTS, TOPICS, MEMBERS = 100_000, 1_000, 10_000
REQUESTS = 500
REPEAT = 5
MEMORY_MAX = 300e6
FRAMEWORKS = "fastapi, uvicorn, grpc.aio, grpc_reflection.v1alpha.reflection, sqlalchemy.ext.asyncio, asyncpg, alembic"
_INSERT = """
INSERT INTO floor (client, kind, object, purge, state, operation, created, not_before, attempts)
SELECT client, 'topic', topic, false, 'pending', $1, 0, 0, 0 FROM membership WHERE topic = $2
"""


def figures(server: DatabaseServer, folder: Path) -> Figures:
    found: Figures = {}
    with mosquitto(folder) as port:
        place, kek = server.make(), folder / "serve.kek"
        settings = {
            "E4_SUITE": "sk",
            "E4_DATABASE": f"postgresql://{place.user}@{place.host}:{place.port}/{place.name}",
            "E4_KMS": f"file://{kek}",
            "E4_BROKER": f"mqtt://127.0.0.1:{port}",
        }
        with opened("sk", place, kek) as (store, realm):
            found["start"] = _start(folder, settings)
            names = [f"device-{number}" for number in range(CLIENTS)]
            enrol(store, realm, names)
            gather(store, realm, "bench", names[:MEMBERS])
            store.run(bulk.create_topics, realm, [f"topic-{number}" for number in range(TOPICS)])
        with c2(folder, settings) as process, bare(folder) as floor:
            token = (folder / "e4-data" / "admin-token").read_text().strip()
            found |= _api(process, floor, token)
            found[f"rotate.answer.{MEMBERS}"] = asyncio.run(_rotate(process, token, place))
            memory = process.memory
            found[f"memory.{CLIENTS}"] = {"ours": memory, "floor": MEMORY_MAX, "ratio": round(memory / MEMORY_MAX, 3)}
    return found


def _start(folder: Path, settings: dict[str, str]) -> dict[str, float]:
    def ours() -> float:
        begun = time.perf_counter()
        with c2(folder, settings):
            return time.perf_counter() - begun

    def floor() -> float:
        return seconds(lambda: subprocess.run([sys.executable, "-c", f"import {FRAMEWORKS}"], check=True))

    return compare(ours, floor)


def _api(process: Process, floor: Process, token: str) -> Figures:
    identity = _topic(process, token, "topic-0")["id"]
    numbers = iter(range(10**6))

    def read(port: int, prefix: str) -> float:
        return each_s(port, [request("GET", f"{prefix}/topics/{identity}", token)] * REQUESTS, 200)

    def write(port: int, prefix: str) -> float:
        bodies = [json.dumps({"name": f"new-{next(numbers)}"}).encode() for _ in range(REQUESTS)]
        return each_s(port, [request("POST", f"{prefix}/topics", token, body) for body in bodies], 201)

    return {
        name: compare(partial(work, process.port, "/v1"), partial(work, floor.port, ""), REPEAT)
        for name, work in (("api.read", read), ("api.write", write))
    }


async def _rotate(process: Process, token: str, place: Address) -> dict[str, float]:
    topic = _topic(process, token, "bench")["id"]
    db = await asyncpg.connect(host=place.host, port=place.port, user=place.user, database=place.name)
    await db.execute("CREATE TABLE floor (LIKE outbox INCLUDING ALL)")
    turns: list[tuple[float, float]] = []
    for _ in range(REPEAT):
        await db.execute("TRUNCATE floor")
        begun = time.perf_counter()
        await db.execute(_INSERT, os.urandom(16), bytes.fromhex(topic))
        floor = time.perf_counter() - begun
        begun = time.perf_counter()
        operation = await asyncio.to_thread(_ask, process, token, "POST", f"/v1/topics/{topic}/rotate")
        turns.append((time.perf_counter() - begun, floor))
        await _until_sent(process, token, operation["id"])
    await db.close()
    return typical(turns)


async def _until_sent(process: Process, token: str, operation: str) -> None:
    while True:
        shown = await asyncio.to_thread(_ask, process, token, "GET", f"/v1/operations/{operation}")
        if not shown["counts"].get("pending") and not shown["counts"].get("sending"):
            return
        await asyncio.sleep(0.5)


def _topic(process: Process, token: str, name: str) -> dict[str, Any]:
    (found,) = _ask(process, token, "GET", f"/v1/topics?name={name}")["items"]
    return dict(found)


def _ask(process: Process, token: str, method: str, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    asked = urllib.request.Request(f"http://127.0.0.1:{process.port}{path}", method=method, headers=headers)
    with urllib.request.urlopen(asked, timeout=120) as answer:
        return dict(json.load(answer))
