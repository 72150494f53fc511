# SPDX-License-Identifier: Apache-2.0
"""A request with an idempotency key is done once, however often it is sent."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from e4c2 import idempotency, topics
from e4c2.app import open_c2
from e4c2.idempotency import Answer, Request
from e4c2.rows import Realm
from e4core.errors import StorageError
from tests.c2.served import ADMIN, Served, bearer, created, operation, problem, serving, settings_in
from tests.places import database_file


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as served:
        yield served


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


def test_the_same_request_gets_the_same_answer_and_is_done_once(c2: Served) -> None:
    topic = c2.topic("once")
    first = c2.http.post(f"/v1/topics/{topic}/rotate", headers=key("rotate"))
    rotated = c2.http.get(f"/v1/topics/{topic}").json()
    again = c2.http.post(f"/v1/topics/{topic}/rotate", headers=key("rotate"))
    assert operation(again) == operation(first)
    assert c2.http.get(f"/v1/topics/{topic}").json() == rotated
    assert operation(c2.http.post(f"/v1/topics/{topic}/rotate"))["id"] != first.json()["id"]


def test_a_creation_repeated_is_the_creation_not_a_conflict(c2: Served) -> None:
    first, again = (c2.http.post("/v1/topics", json={"name": "made once"}, headers=key("make")) for _ in range(2))
    assert created(first) == created(again)
    assert first.headers["location"] == again.headers["location"]


def test_a_deletion_repeated_is_the_deletion_not_a_miss(c2: Served) -> None:
    path = f"/v1/topics/{c2.topic('deleted once')}"
    first, again = (c2.http.delete(path, headers=key("delete")) for _ in range(2))
    assert operation(first) == operation(again)


def test_an_answer_without_a_body_is_repeated_too(c2: Served) -> None:
    path = f"/v1/tokens/{created(c2.http.post('/v1/tokens', json={'name': 'short', 'grants': []}))['id']}"
    answers = [c2.http.delete(path, headers=key("revoke")) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2


def test_a_repeated_token_is_the_same_token_and_lies_sealed_in_the_database(c2: Served) -> None:
    body = {"name": "repeated", "grants": []}
    first, again = (c2.http.post("/v1/tokens", json=body, headers=key("token")) for _ in range(2))
    text = created(first)["token"]
    assert created(again)["token"] == text
    for file in c2.settings.data.glob("c2.sqlite*"):
        assert text.encode() not in file.read_bytes()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/topics", {"name": "another"}),
        ("/v1/tokens", {"name": "reused", "grants": []}),
    ],
    ids=["body", "path"],
)
def test_a_key_is_not_used_for_two_requests(c2: Served, path: str, body: dict[str, Any]) -> None:
    c2.http.post("/v1/topics", json={"name": "reused"}, headers=key("reused"))
    problem(c2.http.post(path, json=body, headers=key("reused")), 409, "idempotency_key_reused")


def test_a_key_is_not_used_for_two_queries(c2: Served) -> None:
    path = f"/v1/clients/{c2.client('removed once')}"
    operation(c2.http.delete(path, params={"rekey": "true"}, headers=key("queried")))
    refused = c2.http.delete(path, params={"rekey": "false"}, headers=key("queried"))
    problem(refused, 409, "idempotency_key_reused")


def test_a_key_belongs_to_its_token(c2: Served) -> None:
    other = created(c2.http.post("/v1/tokens", json={"name": "other", "grants": ADMIN}))["token"]
    body = {"name": "whose"}
    created(c2.http.post("/v1/topics", json=body, headers=key("mine")))
    problem(c2.http.post("/v1/topics", json=body, headers={**key("mine"), **bearer(other)}), 409, "conflict")


def test_what_failed_may_be_tried_again_under_its_key(c2: Served) -> None:
    client = c2.client("late")
    path = f"/v1/clients/{client}/key/confirm"
    problem(c2.http.post(path, headers=key("retry")), 409, "conflict")
    operation(c2.http.post(f"/v1/clients/{client}/key", json={"reason": "routine"}))
    operation(c2.http.post(path, headers=key("retry")))


def test_answers_are_kept_for_a_day(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(settings_in(tmp_path_factory.mktemp("day"))) as c2:
        request: dict[str, Any] = {"url": "/v1/topics", "json": {"name": "today"}, "headers": key("day")}
        first = created(c2.http.post(**request))
        c2.clock.ahead_s = 24 * 3600 - 60
        assert created(c2.http.post(**request)) == first
        c2.clock.ahead_s = 24 * 3600 + 60
        problem(c2.http.post(**request), 409, "conflict")
        created(c2.http.post("/v1/topics", json={"name": "tomorrow"}, headers=key("next-day")))
        with sqlite3.connect(database_file(c2.settings)) as db:
            assert db.execute("SELECT count(*) FROM idempotency").fetchone() == (1,)
        db.close()


@pytest.mark.parametrize("text", ["", "a b", "x" * 256, "ä"])
def test_a_key_is_short_visible_ascii(c2: Served, text: str) -> None:
    headers = {b"Idempotency-Key": text.encode()}
    problem(c2.http.post("/v1/topics", json={"name": "never"}, headers=headers), 422, "invalid_input")


def test_two_keys_are_refused(c2: Served) -> None:
    headers = [("Idempotency-Key", "1"), ("Idempotency-Key", "2")]
    problem(c2.http.post("/v1/topics", json={"name": "never"}, headers=headers), 422, "invalid_input")


def test_requests_differ_by_each_part_of_them() -> None:
    parts = [
        ("POST", "/a", b"b", b"c"),
        ("POST", "/ab", b"", b"c"),
        ("POST", "/a", b"", b"bc"),
        ("PUT", "/a", b"b", b"c"),
    ]
    assert len({idempotency.digest(*each) for each in parts}) == len(parts)


def test_change_and_answer_are_committed_together_or_not_at_all(tmp_path: Path) -> None:
    request = Request("caller", "key", bytes(32))

    def make(db: sa.Connection, realm: Realm, dies: bool) -> tuple[Answer, int]:
        done = []

        def act() -> Answer:
            done.append(topics.create(db, realm, "made"))
            return Answer(201, b"{}")

        answer = idempotency.once(db, realm, request, bytes(32), act)
        if dies:
            raise StorageError("the power is cut before the commit")
        return answer, len(done)

    async def story() -> None:
        async with open_c2(settings_in(tmp_path)) as (c2, _):
            with pytest.raises(StorageError):
                await c2.store.write(make, c2.realm, True)
            assert await c2.store.write(make, c2.realm, False) == (Answer(201, b"{}"), 1), "neither was kept"
            assert await c2.store.write(make, c2.realm, False) == (Answer(201, b"{}"), 0), "both were kept"

    asyncio.run(story())
