# SPDX-License-Identifier: Apache-2.0
"""Many things in one request, as the API answers it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from starlette.types import Receive

from e4c2.api.bodies import BATCH_MAX, SHORT_MAX, Bodies
from e4core.errors import InvalidInput, RateExceeded
from tests.c2.served import Served, b64, created, problem, serving, settings_in
from tests.c2.test_api_routes import ROUTES


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as served:
        yield served


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def item(name: str) -> dict[str, str]:
    return {"name": name, "key": b64(os.urandom(32))}


def results(answer: httpx2.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    return [
        (each["status"], each["problem"]["kind"] if each["problem"] else each["item"])
        for each in answer.json()["results"]
    ]


def names(c2: Served, path: str) -> list[str]:
    return [each["name"] for each in c2.http.get(path, params={"limit": 1000}).json()["items"]]


def test_each_item_has_its_status_and_its_problem(c2: Served, name: str) -> None:
    items = [item(f"{name} a"), item("\n"), item(f"{name} b")]
    answer = c2.http.post("/v1/clients/batch", json={"items": items})
    assert [status for status, _ in results(answer)] == [201, 422, 201]
    told = answer.json()["results"]
    assert told[0]["item"] == c2.http.get(f"/v1/clients/{told[0]['item']['id']}").json()
    assert told[1]["item"] is None
    assert told[1]["problem"]["kind"] == "bad_name"
    again = c2.http.post("/v1/clients/batch", json={"items": items})
    assert [status for status, _ in results(again)] == [200, 422, 200]
    assert items[0]["key"] not in again.text


def test_all_or_none_is_refused_with_the_place(c2: Served, name: str) -> None:
    body = {"items": [item(f"{name} a"), item("\n")], "all_or_none": True}
    told = problem(c2.http.post("/v1/clients/batch", json=body), 422, "bad_name")
    assert told["detail"].startswith("item 1: ")
    assert f"{name} a" not in names(c2, "/v1/clients")
    topics = {"items": [{"name": f"{name} t"}, {"name": "e4/t"}], "all_or_none": True}
    problem(c2.http.post("/v1/topics/batch", json=topics), 422, "bad_topic")
    assert f"{name} t" not in names(c2, "/v1/topics")


def test_members_in_a_batch_and_then_none_of_them(c2: Served, name: str) -> None:
    ids = [c2.client(f"{name} {i}") for i in range(2)]
    made = results(c2.http.post("/v1/topics/batch", json={"items": [{"name": name}]}))[0][1]
    path = f"/v1/topics/{made['id']}/members"
    joined = c2.http.post(f"{path}/batch", json={"clients": [*ids, "0" * 32]})
    assert results(joined) == [(201, ids[0]), (201, ids[1]), (404, "not_found")]
    assert c2.http.get(f"/v1/operations/{joined.json()['operation']['id']}").json()["kind"] == "join"
    assert names(c2, path) == [f"{name} 0", f"{name} 1"]
    removed = c2.http.post("/v1/clients/batch/remove", json={"clients": ids})
    assert results(removed) == [(201, ids[0]), (201, ids[1])]
    assert names(c2, path) == []
    gone = c2.http.post("/v1/clients/batch/remove", json={"clients": ids, "all_or_none": True})
    problem(gone, 404, "not_found")


OPERATION = {"id", "kind", "subject", "created", "counts", "awaited"}
OPERATOR = [{"role": "operator", "clients": ["plant/*", "depot/1"], "topics": ["plant/*"]}]


@pytest.fixture(scope="module")
def operator(c2: Served) -> Iterator[httpx2.Client]:
    """Of some clients and topics alone."""
    made = created(c2.http.post("/v1/tokens", json={"name": "plant", "grants": OPERATOR}))
    with c2.stranger(made["token"]) as http:
        yield http


def test_who_let_many_join_follows_that(c2: Served, operator: httpx2.Client) -> None:
    ids = [c2.client(f"plant/joining {n}") for n in range(2)]
    topic = c2.topic("plant/joined", c2.client("other/member"))
    joined = operator.post(f"/v1/topics/{topic}/members/batch", json={"clients": ids}).json()["operation"]
    followed = operator.get(f"/v1/operations/{joined['id']}").json()
    assert (followed["kind"], sum(followed["counts"].values())) == ("join", 2)


def test_who_removed_many_follows_that_to_its_end_and_learns_numbers_alone(c2: Served, operator: httpx2.Client) -> None:
    """Whatever the clients are called, and whoever else was in their topics: what was answered first is answered on."""
    gone = [c2.client(name) for name in ("plant/gone", "depot/1")]
    others = [c2.client(f"other/stays {n}") for n in range(3)]
    c2.topic("plant/left", *gone, c2.client("plant/stays"), *others)
    asked = {"clients": gone, "all_or_none": True}
    removed = operator.post("/v1/clients/batch/remove", json=asked).json()["operation"]
    assert (removed["kind"], removed["subject"]) == ("remove_clients", "several clients")
    path = f"/v1/operations/{removed['id']}"
    followed = [http.get(path).json() for http in (operator, c2.http)]
    assert [sum(each["counts"].values()) for each in (removed, *followed)] == [4, 4, 4]
    assert all(set(each) == OPERATION and each["subject"] == "several clients" for each in followed)
    seen = operator.get("/v1/commands").json()["items"]
    assert {each["client"] for each in seen if each["operation"] == removed["id"]} == {"plant/stays"}
    problem(operator.get(f"/v1/operations/{'0' * 32}"), 404, "not_found")
    newcomer = c2.http.post(
        "/v1/enrolments", json={"name": "x", "clients": "*", "topics": [], "uses": 1, "lifetime_s": 60.0}
    )
    with c2.stranger(created(newcomer)["token"]) as http:
        problem(http.get(path), 403, "forbidden")


def test_a_batch_of_one_is_a_removal_of_that_one(c2: Served, operator: httpx2.Client) -> None:
    removed = operator.post("/v1/clients/batch/remove", json={"clients": [c2.client("plant/alone"), "0" * 32]})
    operation = removed.json()["operation"]
    assert (operation["kind"], operation["subject"]) == ("remove_client", "plant/alone")
    assert operator.get(f"/v1/operations/{operation['id']}").json()["kind"] == "remove_client"


def test_malformed_request_is_refused_whole_with_the_place(c2: Served, name: str) -> None:
    told = problem(c2.http.post("/v1/clients/batch", json={"items": [item(name), {"name": name, "key": "!"}]}), 422)
    assert told["detail"].startswith("body.items.1.key: ")
    problem(c2.http.post("/v1/clients/batch", json={"items": []}), 422)
    problem(c2.http.post("/v1/topics/batch", json={"items": [{"name": "x"}] * 10_001}), 422)
    assert name not in names(c2, "/v1/clients")


def test_bodies_of_batches_alone_may_be_long(c2: Served, name: str) -> None:
    long = b'{"items": [' + b" " * (1 << 20) + b"]}"
    problem(c2.http.post("/v1/topics/batch", content=long), 422, "invalid_input")
    problem(c2.http.post("/v1/topics", content=long), 413, "too_large")
    problem(c2.http.post("/v1/topics/batch", content=bytes((16 << 20) + 1)), 413, "too_large")


def test_every_batch_may_be_long_for_who_may_send_it_and_no_other_path(c2: Served) -> None:
    long = b" " * (1 << 20) + b"{}"
    expired = created(
        c2.http.post("/v1/enrolments", json={"name": "x", "clients": "*", "topics": [], "uses": 1, "lifetime_s": 1.0})
    )
    batches = [route for route in ROUTES if "/batch" in route]
    assert len(batches) == 4
    with c2.stranger(expired["token"]) as newcomer:
        for route in batches:
            path = route.removeprefix("POST ").format(topic="0" * 32)
            problem(c2.http.post(path, content=long), 422, "invalid_input")
            problem(newcomer.post(path, content=long), 413, "too_large")
    for path in ("/v1/none/batch", "/v1/topics/batch/none", "/v1/topics/a/b/members/batch"):
        problem(c2.http.post(path, content=long), 413, "too_large")


def test_of_long_bodies_only_so_much_is_held_at_once() -> None:
    async def story() -> None:
        bodies = Bodies(long_max=2 * SHORT_MAX)

        def sent(size: int) -> Receive:
            parts = asyncio.Queue[Any]()
            parts.put_nowait({"type": "http.request", "body": bytes(size), "more_body": True})
            parts.put_nowait({"type": "http.request", "body": b"x"})
            return parts.get

        for _ in range(3):  # what was held is given back, whatever became of it
            async with bodies.read(sent(SHORT_MAX), BATCH_MAX) as first, bodies.read(sent(SHORT_MAX - 1), BATCH_MAX):
                assert len(first) == SHORT_MAX + 1
                with pytest.raises(RateExceeded) as caught:
                    async with bodies.read(sent(SHORT_MAX), BATCH_MAX):
                        pytest.fail("it was held")
                assert caught.value.wait_s
            with pytest.raises(InvalidInput):
                async with bodies.read(sent(2 * SHORT_MAX), 2 * SHORT_MAX):
                    pytest.fail("it was held")

    asyncio.run(story())


def test_batch_is_done_once_for_each_idempotency_key(c2: Served, name: str) -> None:
    send = {"json": {"items": [{"name": name}]}, "headers": {"Idempotency-Key": name}}
    first, again = (c2.http.post("/v1/topics/batch", **send) for _ in range(2))  # type: ignore[arg-type]
    assert first.json() == again.json()
    assert results(again)[0][0] == 201
