# SPDX-License-Identifier: Apache-2.0
"""The API client: errors come back as what they were, changes are done once, and the token goes nowhere else."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from e4c2.api.status import status_of
from e4cli.api_client import UNANSWERED, Api
from e4cli.connection import Token
from e4core import errors
from e4core.errors import (
    Conflict,
    Denied,
    E4Error,
    InvalidInput,
    KmsError,
    NotFound,
    StorageError,
    Tampered,
    TransportError,
)
from e4core.keys import Secret
from tests.cli.c2_server import Asked, send, server
from tests.servers import free_port

TOKEN = Token(Secret(b"e4_token"), "the test")
PROBLEM = "application/problem+json"
ERRORS = [leaf for leaf in vars(errors).values() if isinstance(leaf, type) and issubclass(leaf, E4Error)]


def problem(status: int, kind: str, detail: str = "it is so") -> bytes:
    return json.dumps({"type": "about:blank", "title": "", "status": status, "detail": detail, "kind": kind}).encode()


@pytest.mark.parametrize("leaf", ERRORS)
def test_every_error_of_the_c2_comes_back_as_the_same_error(leaf: type[E4Error]) -> None:
    status = status_of(leaf("it is so"))
    with (
        server(lambda _asked, http: send(http, status, PROBLEM, problem(status, leaf.kind))) as (url, _),
        Api(url, TOKEN) as api,
        pytest.raises(E4Error, match="it is so") as caught,
    ):
        api.get("/v1/c2")
    assert type(caught.value) is leaf
    assert caught.value.kind == leaf.kind


@pytest.mark.parametrize(
    ("status", "kind", "leaf"),
    [
        (422, "bad_name", InvalidInput),
        (413, "too_large", InvalidInput),
        (400, "bad_cursor", InvalidInput),
        (401, "unauthenticated", Denied),
        (404, "no_such_path", NotFound),
        (409, "idempotency_key_reused", Conflict),
        (503, "overload", TransportError),
        (500, "internal", E4Error),
        (500, "tampered", Tampered),
        (500, "kms", KmsError),
        (418, "", E4Error),
    ],
)
def test_a_kind_that_is_no_class_comes_back_by_its_status(status: int, kind: str, leaf: type[E4Error]) -> None:
    with (
        server(lambda _asked, http: send(http, status, PROBLEM, problem(status, kind))) as (url, _),
        Api(url, TOKEN) as api,
        pytest.raises(E4Error) as caught,
    ):
        api.get("/v1/c2")
    assert type(caught.value) is leaf


@pytest.mark.parametrize(
    ("status", "media_type", "body"),
    [
        (200, "text/html", b"<html>hello</html>"),
        (200, "application/json", b"[]"),
        (200, "application/json", b"\xff"),
        (200, PROBLEM, problem(200, "not_found")),
        (404, "application/json", b'{"detail": "Not Found"}'),
        (404, "text/html", b"<html>no</html>"),
        (404, PROBLEM, problem(404, "")),
        (404, PROBLEM, problem(404, "not_found", "Not Found")),
        (302, "text/html", b""),
        (500, PROBLEM, b"{"),
    ],
)
def test_what_is_no_c2_is_said_to_be_none(status: int, media_type: str, body: bytes) -> None:
    with (
        server(lambda _asked, http: send(http, status, media_type, body)) as (url, _),
        Api(url, TOKEN) as api,
        pytest.raises(TransportError, match="is no C2"),
    ):
        api.get("/v1/c2")


def test_an_answer_that_lacks_a_field_is_refused() -> None:
    with (
        server(lambda _asked, http: send(http, 200, "application/json", b"{}")) as (url, _),
        Api(url, TOKEN) as api,
        pytest.raises(TransportError, match="'items'"),
    ):
        list(api.items("/v1/clients"))


def test_a_change_whose_answer_was_lost_is_sent_again_as_the_same_change() -> None:
    times = 0

    def lose_one(_asked: Asked, http: BaseHTTPRequestHandler) -> None:
        nonlocal times
        times += 1
        if times > 1:
            send(http, 202, "application/json", b'{"id": "1"}')

    with server(lose_one) as (url, asked), Api(url, TOKEN) as api:
        assert api.post("/v1/topics", {"name": "a"}) == {"id": "1"}
        api.post("/v1/topics", {"name": "a"})
    first, again, other = (each.headers["idempotency-key"] for each in asked)
    assert first == again != other
    assert asked[0].body == asked[1].body == b'{"name":"a"}'


def test_a_change_that_is_never_answered_is_of_unknown_outcome() -> None:
    with (
        server(lambda _asked, _http: None) as (url, asked),
        Api(url, TOKEN) as api,
        pytest.raises(TransportError) as caught,
    ):
        api.delete("/v1/clients/1")
    assert caught.value.kind == UNANSWERED
    assert len(asked) == 3


@pytest.mark.parametrize("greeting", [b"220 ready for mail\r\n", b""])
def test_only_of_a_change_it_is_said_that_it_may_have_been_done(greeting: bytes) -> None:
    def greet(_asked: Asked, http: BaseHTTPRequestHandler) -> None:
        http.wfile.write(greeting)

    with server(greet) as (url, _), Api(url, TOKEN) as api:
        with pytest.raises(TransportError, match="see whether it has done it"):
            api.post("/v1/topics")
        with pytest.raises(TransportError, match="see whether it has done it"):
            api.delete("/v1/topics/1")
        with pytest.raises(TransportError, match="connection") as caught:
            api.get("/v1/c2")
    assert "done" not in str(caught.value)


def test_a_server_that_is_down_has_surely_done_nothing() -> None:
    with (
        Api(f"http://127.0.0.1:{free_port()}", TOKEN) as api,
        pytest.raises(TransportError, match="e4 serve") as caught,
    ):
        api.post("/v1/c2/key")
    assert caught.value.kind == TransportError.kind


def test_questions_carry_the_token_and_no_idempotency_key() -> None:
    with (
        server(lambda _asked, http: send(http, 200, "application/json", b"{}")) as (url, asked),
        Api(f"{url}/behind/a/proxy", TOKEN) as api,
    ):
        api.get("/v1/clients", name="a b/ü")
    assert asked[0].path == "/behind/a/proxy/v1/clients?name=a+b%2F%C3%BC"
    assert asked[0].headers["authorization"] == "Bearer e4_token"
    assert "idempotency-key" not in asked[0].headers


def test_the_token_does_not_follow_a_redirection() -> None:
    with server(lambda _asked, http: send(http, 200, "application/json", b"{}")) as (elsewhere, strangers):

        def redirect(_asked: Asked, http: BaseHTTPRequestHandler) -> None:
            http.send_response(307)
            http.send_header("location", elsewhere)
            http.send_header("content-length", "0")
            http.end_headers()

        with server(redirect) as (url, asked), Api(url, TOKEN) as api, pytest.raises(TransportError):
            api.get("/v1/c2")
    assert len(asked) == 1
    assert not strangers


@pytest.mark.parametrize(
    "url",
    [
        "http://c2.example:8884",
        "http://10.0.0.1",
        "http://0x7f.1.example",
        "ftp://127.0.0.1",
        "127.0.0.1:8884",
        "",
        "http://",
        "http://127.0.0.1:port",
        "https://user:pass@c2.example",
        "https://c2.example/?a=b",
        "https://[::1",
        "http://127.0.0.1:8884/\n",
        "http://127.0.0.1:8884\t",
        " http://127.0.0.1:8884",
        "http://127.0.0.1:8884/\x7f",
        "https://c2.exam ple",
        "https://\u2764.\ud800",
        f"https://{'a' * 64}.\xfc",
    ],
)
def test_no_token_goes_to_a_url_that_is_wrong_or_can_be_listened_to(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Api(url, TOKEN)
    assert caught.value.kind == "bad_url"


@pytest.mark.parametrize("url", ["http://[::1]:8884", "http://localhost", "https://c2.example", "http://127.8.8.4/c2"])
def test_a_url_that_is_private_is_taken(url: str) -> None:
    with Api(url, TOKEN):
        pass


@pytest.mark.parametrize("text", [b"", b"two words", b"two\nlines", b"\xc3\xbc", b"e4_\x00"])
def test_what_can_be_no_token_is_refused_before_it_is_sent(text: bytes) -> None:
    with pytest.raises(InvalidInput, match="the test"):
        Token(Secret(text), "the test")


def test_a_token_shows_itself_nowhere() -> None:
    assert "e4_token" not in f"{TOKEN!r} {TOKEN}"


def test_authorities_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("none.pem", "empty.pem"):
        with pytest.raises(StorageError, match=name):
            Api("https://c2.example", TOKEN, tmp_path / name)
