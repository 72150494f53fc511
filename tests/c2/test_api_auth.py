# SPDX-License-Identifier: Apache-2.0
"""Who has no valid token learns nothing and changes nothing, whatever the path."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from e4c2.api.gate import Gate
from e4c2.app import open_c2
from tests.c2.served import ADMIN, PATIENCE_S, Served, bearer, created, problem, serving, settings_in
from tests.c2.test_api_routes import ROUTES
from tests.places import database_file

PROTECTED = sorted(route for route in ROUTES if not route.endswith(("/health", "/ready")))


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as served:
        yield served


@pytest.mark.parametrize("route", [*PROTECTED, "GET /v1/openapi.json", "GET /v1/none", "GET /", "POST /v1/health/"])
def test_every_path_asks_for_a_token_before_it_looks_at_the_request(c2: Served, route: str) -> None:
    method, path = route.split(" ")
    with c2.stranger() as http:
        answer = http.request(method, path.replace("{", "").replace("}", ""), content=b"{")
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Bearer",
        "Bearer e4_" + "A" * 43,
        "Basic {token}",
        "{token}",
        "Bearer {token}x",
        "Bearer {token} {token}",
        "Bearer " + "x" * 8000,
        "Bearer \x80\xff",
    ],
)
def test_a_wrong_token_is_refused(c2: Served, text: str) -> None:
    header = text.replace("{token}", c2.token).encode("latin-1")
    with c2.stranger() as http:
        problem(http.get("/v1/topics", headers={b"Authorization": header}), 401, "unauthenticated")


def test_two_authorizations_are_refused_even_if_one_is_right(c2: Served) -> None:
    with c2.stranger() as http:
        right, wrong = ("authorization", f"Bearer {c2.token}"), ("authorization", "Bearer e4_wrong")
        problem(http.get("/v1/topics", headers=[right, wrong]), 401, "unauthenticated")


def test_the_scheme_is_case_insensitive(c2: Served) -> None:
    with c2.stranger() as http:
        assert http.get("/v1/topics", headers={"Authorization": f"bEARER {c2.token}"}).status_code == 200


def test_an_expired_token_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(settings_in(tmp_path_factory.mktemp("expiry"))) as c2:
        text = created(c2.http.post("/v1/tokens", json={"name": "short", "grants": ADMIN, "lifetime_s": 3600}))["token"]
        with c2.stranger(text) as http:
            c2.clock.ahead_s = 3500
            assert http.get("/v1/topics").status_code == 200
            c2.clock.ahead_s = 3601
            problem(http.get("/v1/topics"), 401, "unauthenticated")


def test_a_token_of_another_c2_is_refused(c2: Served, tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(settings_in(tmp_path_factory.mktemp("other"))) as other, c2.stranger(other.token) as http:
        problem(http.get("/v1/topics"), 401, "unauthenticated")


def test_refusals_do_not_tell_an_expired_token_from_one_that_never_was(c2: Served) -> None:
    made = created(c2.http.post("/v1/tokens", json={"name": "gone", "grants": []}))
    c2.http.delete(f"/v1/tokens/{made['id']}")
    with c2.stranger() as http:
        texts = (made["token"], "e4_" + "A" * 43, "x")
        answers = {http.get("/v1/topics", headers=bearer(text)).content for text in texts}
    assert len(answers) == 1


def test_the_body_of_a_stranger_is_not_read(c2: Served) -> None:
    host, port = c2.started.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /v1/topics HTTP/1.1\r\nHost: c2\r\nContent-Length: 1000000\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_an_endless_head_is_cut_short(c2: Served) -> None:
    host, port = c2.started.url.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=30) as connection,
        pytest.raises(ConnectionError),
    ):
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nX: ")
        for _ in range(64):
            connection.sendall(b"x" * 1024 * 1024)
    assert c2.http.get("/v1/health").status_code == 200


@contextmanager
def begun(c2: Served, token: str, route: str, body: bytes) -> Iterator[socket.socket]:
    """A connection on which ``route`` was asked for with a valid token, all but the body."""
    host, port = c2.started.url.removeprefix("http://").split(":")
    lines = (
        f"{route} HTTP/1.1",
        "Host: c2",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"Authorization: Bearer {token}",
        "Expect: 100-continue",
    )
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        # comes as soon as the body is waited for, by which time the token was looked at
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
        yield connection


LATE = [
    ("POST /v1/tokens", {"name": "successor", "grants": []}),
    ("POST /v1/topics", {"name": "late"}),
    ("GET /v1/tokens", {}),
    ("GET /v1/kms", {}),
    ("GET /v1/kms/providers", {}),
    ("GET /v1/kms/rows", {}),
    ("POST /v1/kms/deks/audit/1/rotate", {}),
    ("POST /v1/kms/deks/audit/1/retire", {}),
    *(
        (f"POST /v1/kms/deks/audit/1/wraps{end}", {"uri": "file:kek.json"})
        for end in ("", "/check", "/remove", "/rewrap")
    ),
]


@pytest.mark.parametrize("end", ["revoked", "expired"])
@pytest.mark.parametrize(("route", "fields"), LATE, ids=[route for route, _ in LATE])
def test_a_token_that_ends_while_the_body_is_on_its_way_does_nothing(
    c2: Served, route: str, fields: dict[str, Any], end: str
) -> None:
    made = created(c2.http.post("/v1/tokens", json={"name": "ends", "grants": ADMIN, "lifetime_s": 60}))
    before = state(c2)
    body = json.dumps(fields).encode()
    with begun(c2, made["token"], route, body) as connection:
        if end == "revoked":
            assert c2.http.delete(f"/v1/tokens/{made['id']}").status_code == 204
        c2.clock.ahead_s += 61 if end == "expired" else 0
        connection.sendall(body)
        with connection.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 401")
            assert b'"kind":"unauthenticated"' in answer.read()
    assert [each for each in before["tokens"] if each["id"] != made["id"] or end == "expired"] == state(c2)["tokens"]
    assert {**before, "tokens": []} == {**state(c2), "tokens": []}


def state(c2: Served) -> dict[str, Any]:
    """What the requests of `LATE` would change."""
    return {
        "tokens": c2.http.get("/v1/tokens", params={"limit": 1000}).json()["items"],
        "topics": c2.http.get("/v1/topics").json()["items"],
        "deks": c2.http.get("/v1/kms").json()["deks"],
    }


def test_who_shows_nothing_is_refused_without_a_look_into_the_database(tmp_path: Path) -> None:
    async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("the request was let through")

    async def story() -> list[Any]:
        sent = []

        async def send(message: Any) -> None:
            sent.append(message)

        settings = settings_in(tmp_path)
        async with open_c2(settings) as (c2, _token):
            with sqlite3.connect(database_file(settings)) as db:
                db.execute("ALTER TABLE token RENAME TO away")
            for headers in ([], [(b"authorization", b"Bearer e4_x")]):
                scope = {"type": "http", "method": "GET", "path": "/v1/topics", "headers": headers}
                await Gate(nobody, c2)(scope, asyncio.Queue[Any]().get, send)
            with sqlite3.connect(database_file(settings)) as db:
                db.execute("ALTER TABLE away RENAME TO token")
        return [message["status"] for message in sent if "status" in message]

    assert asyncio.run(story()) == [401, 503]


def test_a_body_is_waited_for_only_so_long(tmp_path: Path) -> None:
    async def nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pytest.fail("the request was let through")

    async def story() -> list[Any]:
        sent = []
        parts = asyncio.Queue[Any]()  # holds one part of a body, whose rest never comes
        parts.put_nowait({"type": "http.request", "body": b"{", "more_body": True})

        async def send(message: Any) -> None:
            sent.append(message)

        async with open_c2(settings_in(tmp_path)) as (c2, token):
            assert token is not None
            headers = [(b"authorization", b"Bearer " + bytes(token))]
            scope = {"type": "http", "method": "POST", "path": "/v1/topics", "headers": headers}
            await asyncio.wait_for(Gate(nobody, c2, body_s=0.01)(scope, parts.get, send), PATIENCE_S)
        return sent

    start, body = asyncio.run(story())
    assert (start["status"], json.loads(body["body"])["kind"]) == (408, "too_slow")
