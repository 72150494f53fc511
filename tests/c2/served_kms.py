# SPDX-License-Identifier: Apache-2.0
"""A served C2 with two KMSes, and its keys as the API and the database show them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from e4c2.settings import Settings
from tests.c2.served import PATIENCE_S, Served, created, serving
from tests.places import database_file

FIRST, SECOND = URIS = ("file:kek.json", "file:second.json")
WRAPS = [("", 409), ("/remove", 404), ("/rewrap", 404), ("/check", 404)]
"""Routes below ``wraps``, and what each says to a wrap that is there already, or is not there."""
FOLLOWED = ("records", "authority")
"""Purposes whose rows follow to a new key."""


@contextmanager
def with_rows(settings: Settings) -> Iterator[Served]:
    """With rows under its keys."""
    with serving(settings) as served:
        served.topic("topic", served.client("client"))
        created(served.http.post("/v1/tokens", json={"name": "spare", "grants": []}))
        yield served


def deks(c2: Served) -> dict[tuple[str, int], Any]:
    return {(dek["purpose"], dek["version"]): dek for dek in c2.http.get("/v1/kms").json()["deks"]}


def uris(dek: Any) -> list[str]:
    return [wrap["uri"] for wrap in dek["wraps"]]


def path(purpose: str, version: object, rest: str) -> str:
    return f"/v1/kms/deks/{purpose}/{version}/{rest}"


def done(answer: httpx2.Response, status: int) -> Any:
    """The DEK that an answer shows."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"purpose", "version", "state", "wraps"}
    return answer.json()


def rotated(c2: Served, purpose: str, version: int = 1) -> Any:
    """The version that follows, as soon as all rows have followed too, and what they left is destroyed."""
    made = done(c2.http.post(path(purpose, version, "rotate")), 202)
    deadline = time.monotonic() + PATIENCE_S
    while any(c2.http.get("/v1/kms").json()["behind"][each] for each in FOLLOWED) or any(
        of in FOLLOWED and dek["state"] == "decrypt_only" for (of, _), dek in deks(c2).items()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return made


def sql(c2: Served, statement: str, *values: object) -> list[Any]:
    """What somebody with access to the database sees or does."""
    with sqlite3.connect(database_file(c2.settings)) as db:
        found = db.execute(statement, values).fetchall()
    db.close()
    return found


def beginnings(c2: Served, length: int, columns: Mapping[str, tuple[str, ...]]) -> set[bytes]:
    """How everything in these columns begins."""
    return {
        bytes(row[0])
        for table, names in columns.items()
        for name in names
        for row in sql(c2, f"SELECT substr({name}, 1, ?) FROM {table} WHERE {name} IS NOT NULL", length)
    }


def looked(c2: Served, limit: int) -> list[int]:
    """How many rows each call looked at, from the first to the last; none looks at two tables."""
    counts, query = [], {"limit": str(limit)}
    while True:
        answer = c2.http.get("/v1/kms/rows", params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        counts.append(page["checked"])
        if page["next"] is None:
            return counts if counts[-1] else counts[:-1]
        query["cursor"] = page["next"]
