# SPDX-License-Identifier: Apache-2.0
"""Events over HTTP: lists that go on later, and streams that miss nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from e4c2.events.feed import LISTENERS_EACH
from tests.c2.receiver import is_signed, receiving
from tests.c2.served import Served, created, problem, serving, settings_in

EVENTS, STREAM = "/v1/events", "/v1/events/stream"
ENROLLED, CREATED = ("client.enrolled", "mine", None), ("topic.created", None, "mine")
THESE = ["client.enrolled", "topic.created", "member.joined"]
"""Others, as the ends of operations, come when they like."""
OF_ITSELF = ("operation.", "audit.", "replica.", "topic.converged")
"""What the C2 tells when it comes to it, and not because somebody has just asked for something."""
VIEWER = [{"role": "viewer", "clients": ["*"], "topics": ["*"]}]


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as served:
        yield served


@pytest.fixture(scope="module")
def http(c2: Served) -> Iterator[httpx2.Client]:
    """As that of the C2, but without a hook that waits for the end of an answer."""
    with c2.stranger(c2.token) as made:
        yield made


def newest(c2: Served) -> int:
    return int(c2.http.get(EVENTS, params={"after": "newest"}).json()["next"])


def number(line: str) -> int:
    return int(line.removeprefix("id: "))


def after(c2: Served, number: int, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = c2.http.get(EVENTS, params={"after": str(number), **query}).json()["items"]
    return items


def asked_for(events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (each for each in events if not each["kind"].startswith(OF_ITSELF))


@contextmanager
def stream(http: httpx2.Client, headers: dict[str, str] | None = None, **query: Any) -> Iterator[Iterator[list[str]]]:
    """What comes, block by block, each as its lines."""
    with http.stream("GET", STREAM, params=query, headers=headers or {}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _blocks(answer.iter_lines())


def _blocks(lines: Iterator[str]) -> Iterator[list[str]]:
    block: list[str] = []
    for line in lines:
        if line:
            block.append(line)
        else:
            yield block
            block = []


def events(blocks: Iterator[list[str]]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        if len(block) == 2:
            number, data = block[0].removeprefix("id: "), json.loads(block[1].removeprefix("data: "))
            assert data["id"] == int(number)
            yield data


def test_what_happens_is_listed_and_the_list_goes_on_later(c2: Served) -> None:
    assert {"token.made", "replica.started"} <= {each["kind"] for each in after(c2, 0)[:3]}
    start = newest(c2)
    identity = c2.client("listed")
    c2.topic("listed", identity)
    listed = after(c2, start, kind=THESE)
    assert [(each["kind"], each["client"], each["topic"]) for each in listed] == [
        ("client.enrolled", "listed", None),
        ("topic.created", None, "listed"),
        ("member.joined", "listed", "listed"),
    ]
    page = c2.http.get(EVENTS, params={"after": str(start), "limit": 2, "kind": THESE}).json()
    assert (page["items"], page["next"]) == (listed[:2], listed[1]["id"])
    assert after(c2, page["next"], kind=THESE) == listed[2:]
    assert after(c2, start, kind=["topic.created", "client.removed"]) == [listed[1]]


@pytest.mark.parametrize(
    "query", [{"after": "x"}, {"after": "-1"}, {"kind": "x"}, {"limit": 0}, {"limit": 1001}, {"x": 1}]
)
def test_questions_that_make_no_sense_are_refused(c2: Served, query: dict[str, Any]) -> None:
    problem(c2.http.get(EVENTS, params=query), 422, "invalid_input")
    problem(c2.http.get(STREAM, params=query), 422, "invalid_input")


@pytest.mark.parametrize("header", ["x", "1 2", "²", "9" * 19, "-1"])
def test_a_last_event_id_of_somewhere_else_is_refused(c2: Served, header: str) -> None:
    problem(c2.http.get(STREAM, headers={b"Last-Event-ID": header.encode()}), 422, "bad_cursor")


def test_what_was_never_here_is_gone(c2: Served) -> None:
    for path in (EVENTS, STREAM):
        problem(c2.http.get(path, params={"after": "999999"}), 410, "gone")


def test_a_stream_begins_where_it_is_told_and_brings_what_happens_next(c2: Served, http: httpx2.Client) -> None:
    start = newest(c2)
    c2.topic("before")
    with stream(http, after=str(start)) as blocks:
        coming = asked_for(events(blocks))
        assert next(coming)["topic"] == "before"
        c2.topic("during")
        assert next(coming)["topic"] == "during"


def test_who_comes_back_misses_nothing_and_gets_nothing_twice(c2: Served, http: httpx2.Client) -> None:
    before = newest(c2)
    with stream(http, after="newest") as blocks:
        known = next(blocks)
    assert before <= number(known[0]) <= newest(c2)
    c2.topic("while away")
    with stream(http, {"Last-Event-ID": known[0].removeprefix("id: ")}, after="0") as blocks:
        first = next(asked_for(events(blocks)))
    assert first["topic"] == "while away"
    with stream(http, {"Last-Event-ID": str(first["id"])}) as blocks:
        assert next(blocks) == [f"id: {first['id']}"]


def test_who_waits_for_a_kind_is_taken_along_by_others(c2: Served, http: httpx2.Client) -> None:
    with stream(http, after="newest", kind="topic.rotated") as blocks:
        first = next(blocks)
        identity = c2.topic("waited for")
        (taken_to,) = next(blocks)  # or to the end of an operation, which comes when it likes
        assert number(first[0]) < number(taken_to) <= newest(c2)
        c2.http.post(f"/v1/topics/{identity}/rotate")
        assert next(events(blocks))["kind"] == "topic.rotated"


def test_a_stream_ends_with_its_token(c2: Served) -> None:
    made = created(c2.http.post("/v1/tokens", json={"name": "follower", "grants": VIEWER}))
    with c2.stranger(made["token"]) as http, stream(http, after="newest", kind=THESE) as blocks:
        next(blocks)
        assert c2.http.delete(f"/v1/tokens/{made['id']}").status_code == 204
        assert all(len(block) == 1 for block in blocks)


@pytest.mark.parametrize(
    ("clients", "topics", "seen"),
    [
        (["mine*"], ["mine*"], {ENROLLED, CREATED, ("member.joined", "mine", "mine")}),
        (["mine*"], [], {ENROLLED}),
        ([], ["*"], {CREATED, ("topic.created", None, "theirs")}),
        (["nobody"], ["nothing"], set()),
    ],
)
def test_only_what_one_may_see_is_told(c2: Served, clients: list[str], topics: list[str], seen: set[Any]) -> None:
    start = newest(c2)
    suffix = f" {clients} {topics}"
    for name in ("mine", "theirs"):
        c2.topic(name + suffix, c2.client(name + suffix))
    grants = [{"role": "viewer", "clients": clients, "topics": topics}]
    made = created(c2.http.post("/v1/tokens", json={"name": "some", "grants": grants}))
    with c2.stranger(made["token"]) as http:
        found = http.get(EVENTS, params={"after": str(start), "kind": THESE}).json()["items"]
    cut = {
        (each["kind"], *(name and name.removesuffix(suffix) for name in (each["client"], each["topic"])))
        for each in found
    }
    assert cut == seen


def test_who_may_not_see_tokens_is_told_of_none(c2: Served) -> None:
    start = newest(c2)
    made = created(c2.http.post("/v1/tokens", json={"name": "viewer", "grants": VIEWER}))
    with c2.stranger(made["token"]) as http:
        seen = http.get(EVENTS, params={"after": str(start)}).json()["items"]
    assert list(asked_for(seen)) == []
    assert [each["kind"] for each in asked_for(after(c2, start))] == ["token.made"]


def test_so_many_may_follow_and_each_that_goes_makes_room(c2: Served) -> None:
    made = created(c2.http.post("/v1/tokens", json={"name": "crowd", "grants": VIEWER}))
    with c2.stranger(made["token"]) as http:
        followers = [http.send(http.build_request("GET", STREAM), stream=True) for _ in range(LISTENERS_EACH)]
        assert {each.status_code for each in followers} == {200}
        problem(http.get(STREAM), 429, "rate_exceeded")
        with c2.stranger(c2.token) as other, stream(other, after="newest") as blocks:
            next(blocks)
        followers.pop().close()
        gone = threading.Event()
        while (answer := http.send(http.build_request("GET", STREAM), stream=True)).status_code == 429:
            answer.close()
            gone.wait(0.02)
        assert answer.status_code == 200
        for each in (*followers, answer):
            each.close()


def test_followers_do_not_keep_the_c2_from_stopping(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        with c2.stranger(c2.token) as http, stream(http, after="newest", kind=THESE) as blocks:
            next(blocks)
            c2.stop()
            assert all(len(block) == 1 for block in blocks)
        c2.ended.result(5)
    with serving(settings_in(tmp_path)) as c2:
        kinds = [each["kind"] for each in after(c2, 0)]
    assert [kind for kind in kinds if kind.startswith("replica")] == [
        "replica.started",
        "replica.gone",
        "replica.started",
    ]


def test_a_webhook_is_made_shown_and_told_without_its_secret_ever_again(c2: Served) -> None:
    with receiving() as receiver:
        new = {"name": "hook", "url": receiver.url, "kinds": ["topic.created"]}
        made = created(c2.http.post("/v1/webhooks", json=new))
        path = f"/v1/webhooks/{made['id']}"
        assert made["webhook"] == c2.http.get(path).json() == c2.http.get("/v1/webhooks").json()["items"][0]
        c2.topic("told")
        while not receiver.got:
            threading.Event().wait(0.01)
        headers, body = receiver.got[0]
        assert is_signed(made["secret"], headers, body) and receiver.bodies[0]["data"]["topic"] == "told"
        assert c2.http.post(f"{path}/test").json() == {"status": 204, "failure": None}
        assert receiver.bodies[1]["type"] == "webhook.test" and is_signed(made["secret"], *receiver.got[1])
        changed = c2.http.patch(path, json={"kinds": []}).json()
        assert (changed["kinds"], changed["url"]) == ([], receiver.url)
    tested = c2.http.post(f"{path}/test").json()
    assert tested["status"] is None and "no connection" in tested["failure"]
    assert c2.http.post(f"{path}/resume").json()["id"] == made["id"]
    assert c2.http.delete(path).status_code == 204
    problem(c2.http.get(path), 404, "not_found")
    assert sum(made["secret"].encode() in body for body in c2.bodies) == 1


@pytest.mark.parametrize("change", [{"url": "http://example.org/"}, {"kinds": ["x"]}, {"url": 1}, {"secret": "x"}])
def test_a_webhook_that_makes_no_sense_is_refused(c2: Served, change: dict[str, Any]) -> None:
    problem(c2.http.post("/v1/webhooks", json={"name": "bad", "url": "https://example.org/", **change}), 422)
    assert not c2.http.get("/v1/webhooks").json()["items"]
