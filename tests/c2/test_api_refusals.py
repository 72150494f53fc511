# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent, the answer is a success or a problem with a status below 500, and nothing changed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.c2.served import Served, b64, problem, serving, settings_in
from tests.c2.test_api_routes import ROUTES

JSON = {"Content-Type": "application/json"}
NOBODY = "0" * 32


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"), suite="pk")) as served:
        yield served


KEY = b64(bytes(range(32)))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("topics", b"", 422),
        ("topics", b"{", 400),
        ("topics", b'{"name": "a"', 400),
        ("topics", b'{"name": "\xff"}', 400),
        ("topics", b"\xff\xfe\x00", 400),
        ("topics", b"[" * 100_000, 400),
        ("topics", b'{"name": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", 400),
        ("topics", b'{"name": ' + b"9" * 5000 + b"}", 400),
        ("topics", b'{"name": 7}', 422),
        ("topics", b'{"name": null}', 422),
        ("topics", b'{"name": ["a"]}', 422),
        ("topics", b'{"name": ""}', 422),
        ("topics", b'{"name": "a+"}', 422),
        ("topics", b'{"name": "a/#"}', 422),
        ("topics", b'{"name": "a\\u0000"}', 422),
        ("topics", b'{"name": "\\ud800"}', 422),
        ("topics", b'{"\\ud800": 1, "name": "a"}', 422),
        ("topics", b'{"name": "' + b"a" * 513 + b'"}', 422),
        ("topics", b'{"name": "a", "nmae": "b"}', 422),
        ("topics", b'["name"]', 422),
        ("topics", b"null", 422),
        ("topics", b'"name"', 422),
        ("clients", json.dumps({"name": "a"}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": 7}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": ""}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": "&&&&"}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": "ä"}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": KEY[:-1]}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": KEY + "\n"}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": b64(bytes(31))}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": b64(bytes(32))}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": b64(b"\x02" + bytes(31))}).encode(), 422),
        ("clients", json.dumps({"name": "a\n", "key": KEY}).encode(), 422),
        ("clients", json.dumps({"name": "a" * 256, "key": KEY}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": KEY, "id": "A" * 32}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": KEY, "id": "a" * 31}).encode(), 422),
        ("clients", json.dumps({"name": "a", "key": KEY, "id": "a" * 32 + "\n"}).encode(), 422),
        (f"clients/{NOBODY}/key", b'{"reason": "boredom"}', 422),
        (f"clients/{NOBODY}/key", b'{"reason": "routine"}', 404),
        (f"clients/{NOBODY}/links", json.dumps({"peer": NOBODY}).encode(), 404),
        (f"topics/{NOBODY}/members", b'{"clients": []}', 422),
        (f"topics/{NOBODY}/members", b'{"clients": "all"}', 422),
        (f"topics/{NOBODY}/members", json.dumps({"clients": [NOBODY]}).encode(), 404),
        (f"topics/{NOBODY}/members", json.dumps({"clients": [NOBODY] * 10_001}).encode(), 422),
        (f"topics/{NOBODY}/evict", json.dumps({"clients": [NOBODY], "rekey": "no"}).encode(), 422),
        ("c2/key", b'{"reason": 1}', 422),
        ("c2/key/finish", b'{"force": 1}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": -1}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": 0}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": NaN}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": Infinity}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": 1e400}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": 1e300}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": "60"}', 422),
        ("tokens", b'{"name": "a", "lifetime_s": ' + b"9" * 400 + b"}", 422),
    ],
)
def test_bad_bodies_are_refused(c2: Served, path: str, body: bytes, status: int) -> None:
    problem(c2.http.post(f"/v1/{path}", content=body, headers=JSON), status)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/clients/xyz", 422),
        ("GET", f"/v1/clients/{NOBODY.replace('0', 'A')}", 422),
        ("GET", f"/v1/clients/{NOBODY}%0A", 422),
        ("GET", f"/v1/clients/{NOBODY}%00", 422),
        ("GET", f"/v1/clients/{NOBODY}", 404),
        ("GET", f"/v1/operations/{NOBODY}", 404),
        ("GET", f"/v1/tokens/{NOBODY}", 404),
        ("DELETE", f"/v1/tokens/{NOBODY}", 404),
        ("DELETE", f"/v1/clients/{NOBODY}?rekey=perhaps", 422),
        ("DELETE", f"/v1/clients/{NOBODY}?rekye=false", 422),
        ("GET", "/v1/clients?colour=red", 422),
        ("GET", "/v1/commands?state=lost", 422),
        ("GET", "/v1/commands?client=me", 422),
        ("GET", f"/v1/commands?client={NOBODY}", 404),
        ("GET", "/v1/clients/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("PUT", "/v1/topics", 405),
        ("POST", "/v1/health", 405),
        ("BREW", "/v1/topics", 405),
    ],
)
def test_bad_paths_and_queries_are_refused(c2: Served, method: str, path: str, status: int) -> None:
    problem(c2.http.request(method, path), status)


@pytest.mark.parametrize("route", sorted(ROUTES))
def test_no_route_takes_a_parameter_that_it_does_not_know(c2: Served, route: str) -> None:
    method, template = route.split(" ")
    values = {"purpose": "records", "version": "1"}
    path = re.sub(r"{(\w+)}", lambda part: values.get(part[1], NOBODY), template)
    body = problem(c2.http.request(method, f"{path}?colour=red", json={} if method == "POST" else None), 422)
    assert body["detail"].startswith("query.colour: ")


def test_a_refused_parameter_changed_nothing(c2: Served) -> None:
    problem(c2.http.post("/v1/topics?rekey=false", json={"name": "with a parameter"}), 422)
    assert c2.http.get("/v1/topics", params={"name": "with a parameter"}).json()["items"] == []


@pytest.mark.parametrize("coding", ["gzip", "identity", "br, gzip", ""])
def test_an_encoded_body_is_refused(c2: Served, coding: str) -> None:
    headers = {**JSON, "Content-Encoding": coding}
    refused = c2.http.post("/v1/topics", content=b'{"name": "encoded"}', headers=headers)
    problem(refused, 415, "content_encoding")
    assert c2.http.get("/v1/topics", params={"name": "encoded"}).json()["items"] == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "x"])
def test_a_body_that_a_browser_form_can_send_is_refused(c2: Served, kind: str) -> None:
    problem(c2.http.post("/v1/topics", content=b'{"name": "form"}', headers={"Content-Type": kind}), 422)
    assert c2.http.get("/v1/topics", params={"name": "form"}).json()["items"] == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_1_mib_is_refused(c2: Served, chunked: bool) -> None:
    def body(length: int) -> bytes | Iterator[bytes]:
        data = b'{"name": "' + b"a" * (length - 12) + b'"}'
        return iter([data[:1000], data[1000:]]) if chunked else data

    problem(c2.http.post("/v1/topics", content=body(1024 * 1024), headers=JSON), 422)
    problem(c2.http.post("/v1/topics", content=body(1024 * 1024 + 1), headers=JSON), 413, "too_large")
    assert c2.http.get("/v1/topics").status_code == 200


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from([NOBODY, KEY, "routine", "compromised", "a/b", "file:kek.json"]),
)
NAMES = ["name", "key", "id", "reason", "peer", "clients", "rekey", "force", "lifetime_s", "uri", "first"]
FIELDS = st.sampled_from(NAMES) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=3))
BODIES = st.binary() | st.dictionaries(FIELDS, VALUES, max_size=4).map(lambda value: json.dumps(value).encode())
NO_QUERY: dict[str, str] = {}
QUERIES = st.just(NO_QUERY) | st.dictionaries(
    st.sampled_from(["limit", "cursor", "name", "client", "state", "rekey"]) | st.text(max_size=4),
    st.text() | st.sampled_from(["1", NOBODY, "true", "YQ==", "pending"]),
    max_size=3,
)
IDS = st.sampled_from([NOBODY, "f" * 32, "records", "1"]) | st.text(min_size=1, max_size=40)


@pytest.fixture(scope="module")
def http(c2: Served) -> Iterator[httpx2.Client]:
    """Keeps no answers: hypothesis shows what a failing test was given, and warns of a flaky strategy where that is very long."""
    with c2.stranger(c2.token) as client:
        yield client


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_garbage_never_breaks_the_server(http: httpx2.Client, data: st.DataObject) -> None:
    method, template = data.draw(st.sampled_from(sorted(ROUTES))).split(" ")
    path = "/".join(part if part[:1] != "{" else _segment(data.draw(IDS)) for part in template.split("/"))
    query = "&".join(f"{_segment(name)}={_segment(value)}" for name, value in data.draw(QUERIES).items())
    url = f"{path}?{query}" if query else path
    body = data.draw(BODIES) if method == "POST" else None
    with http.stream(method, url, content=body, headers=JSON) as answer:
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):  # which has no end
            answer.read()
            assert_well_formed(answer)


def _segment(text: str) -> str:
    return quote(text.encode(errors="surrogatepass"), safe="") or "-"


def assert_well_formed(answer: httpx2.Response) -> None:
    if answer.is_success:
        assert answer.status_code == 204 or isinstance(_json(answer), dict)
    else:
        assert 400 <= answer.status_code < 500, answer.text
        problem(answer, answer.status_code)


def _json(answer: httpx2.Response) -> Any:
    assert answer.headers["content-type"] == "application/json"
    return answer.json()
