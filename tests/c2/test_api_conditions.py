# SPDX-License-Identifier: Apache-2.0
"""Requests on condition, and the methods that every path has."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.c2.served import Served, b64, operation, problem, serving, settings_in

THINGS = ("clients", "topics")


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"))) as served:
        yield served


def thing(c2: Served, kind: str, name: str) -> str:
    return f"/v1/{kind}/{c2.client(name) if kind == 'clients' else c2.topic(name)}"


@pytest.mark.parametrize("kind", THINGS)
def test_what_is_known_is_not_sent_again(c2: Served, kind: str) -> None:
    path = thing(c2, kind, "known")
    tag = c2.http.get(path).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = c2.http.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert c2.http.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("kind", THINGS)
def test_thing_is_changed_only_as_it_was_seen(c2: Served, kind: str) -> None:
    path = thing(c2, kind, "seen")
    tag = c2.http.get(path).headers["etag"]
    change = {"clients": ("/key", {"reason": "routine"}), "topics": ("/rotate", None)}[kind]
    for wrong in ('"1-0-0"', f"W/{tag}", '"*"', '"x", "y"'):
        problem(c2.http.post(path + change[0], json=change[1], headers={"If-Match": wrong}), 412, "changed")
    assert c2.http.get(path).headers["etag"] == tag
    headers = {"If-Match": f'"x", {tag}', "Idempotency-Key": path}
    first = operation(c2.http.post(path + change[0], json=change[1], headers=headers))
    assert operation(c2.http.post(path + change[0], json=change[1], headers=headers)) == first
    problem(c2.http.delete(path, headers={"If-Match": tag}), 412, "changed")
    operation(c2.http.delete(path, headers={"If-Match": "*"}))


HOOK = {"name": "hook", "url": "https://hook.example/"}
IDENTITY = {"name": "ops", "found_by": "group", "issuer": "https://issuer.example", "value": "ops", "grants": []}
SHOWN = {"tokens": {"name": "t", "grants": []}, "identities": IDENTITY, "webhooks": HOOK}


@pytest.mark.parametrize("kind", SHOWN)
def test_what_opens_doors_is_removed_only_as_it_was_seen(c2: Served, kind: str) -> None:
    path = f"/v1/{kind}/{c2.http.post(f'/v1/{kind}', json=SHOWN[kind]).json()['id']}"
    answer = c2.http.get(path)
    tag, generation = answer.headers["etag"], answer.json()["generation"]
    assert tag.startswith(f'"{generation}-')
    assert c2.http.get(path, headers={"If-None-Match": tag}).status_code == 304
    problem(c2.http.delete(path, headers={"If-Match": f'"{generation + 1}{tag[2:]}'}), 412, "changed")
    assert c2.http.get(path).headers["etag"] == tag
    assert c2.http.delete(path, headers={"If-Match": tag}).status_code == 204


def test_a_webhook_is_changed_by_an_operator_and_not_by_what_it_is_sent(c2: Served) -> None:
    path = f"/v1/webhooks/{c2.http.post('/v1/webhooks', json=HOOK).json()['id']}"
    first = c2.http.get(path).headers["etag"]
    c2.topic("that is told")
    resumed = c2.http.post(f"{path}/resume", headers={"If-Match": first})
    assert resumed.status_code == 200
    moved = c2.http.patch(path, json={"kinds": ["kms.lost"]}, headers={"If-Match": first})
    assert (moved.status_code, moved.json()["generation"]) == (200, 2)
    assert moved.headers["etag"].rpartition("-")[0] == c2.http.get(path).headers["etag"].rpartition("-")[0]
    problem(c2.http.patch(path, json={"kinds": []}, headers={"If-Match": first}), 412, "changed")
    assert c2.http.delete(path).status_code == 204


def test_members_and_reports_are_in_the_way_of_no_change(c2: Served) -> None:
    topic = c2.topic("busy")
    tag = c2.http.get(f"/v1/topics/{topic}").headers["etag"]
    operation(c2.http.post(f"/v1/topics/{topic}/members", json={"clients": [c2.client("member")]}))
    assert c2.http.get(f"/v1/topics/{topic}", headers={"If-None-Match": tag}).json()["members"] == 1
    operation(c2.http.post(f"/v1/topics/{topic}/rotate", headers={"If-Match": tag}))


def test_thing_that_was_made_anew_is_another_one(c2: Served) -> None:
    path = thing(c2, "topics", "anew")
    tag = c2.http.get(path).headers["etag"]
    c2.clock.ahead_s += 1
    operation(c2.http.delete(path))
    assert thing(c2, "topics", "anew") == path
    problem(c2.http.delete(path, headers={"If-Match": tag}), 412, "changed")


def test_changes_that_answer_with_a_thing_tag_it(c2: Served) -> None:
    answer = c2.http.post("/v1/clients", json={"name": "tagged", "key": b64(bytes(31) + b"k")})
    assert answer.headers["etag"] == c2.http.get(f"/v1/clients/{answer.json()['id']}").headers["etag"]


@pytest.mark.parametrize("condition", ["x", '"', '"a" "b"', ""])
def test_condition_that_is_none_changes_nothing(c2: Served, condition: str) -> None:
    path = thing(c2, "clients", f"condition {condition!r}")
    for headers in ({"If-Match": condition}, {"If-None-Match": condition}):
        if "If-Match" in headers:
            problem(c2.http.delete(path, headers=headers), 422, "bad_condition")
        else:
            problem(c2.http.get(path, headers=headers), 422, "bad_condition")
    problem(c2.http.post("/v1/topics", json={"name": "never"}, headers={"If-Match": '"a"'}), 422, "bad_condition")


def test_head_is_get_without_a_body(c2: Served) -> None:
    for path in ("/v1/topics", thing(c2, "topics", "head"), "/v1/none", "/v1/health"):
        get, head = c2.http.get(path), c2.http.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
    with c2.stranger() as http:
        assert http.head("/v1/topics").status_code == 401


def test_every_path_tells_its_methods(c2: Served) -> None:
    paths = json.loads(c2.http.get("/v1/openapi.json").content)["paths"]
    for path, methods in paths.items():
        concrete = path.replace("{", "").replace("}", "")
        expected = {"OPTIONS", *map(str.upper, methods)} | ({"HEAD"} if "get" in methods else set())
        for answer in (c2.http.options(concrete), c2.http.request("BREW", concrete)):
            allowed = set(answer.headers["allow"].split(", "))
            # a word may also be the parameter of another path
            assert expected <= allowed, path
        assert c2.http.options(concrete).status_code == 204
        problem(c2.http.request("BREW", concrete), 405, "method_not_allowed")
    problem(c2.http.options("/v1/none"), 404)
