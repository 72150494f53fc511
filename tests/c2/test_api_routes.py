# SPDX-License-Identifier: Apache-2.0
"""Every route does what it says, in both suites where both have it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e4core.plugins import load_suite
from e4core.suite import Suite
from tests.c2.served import (
    ADMIN,
    PATIENCE_S,
    Served,
    b64,
    created,
    device_key,
    operation,
    problem,
    serving,
    settings_in,
)

ROUTES = {
    "GET /v1/health",
    "GET /v1/ready",
    "GET /v1/self",
    "GET /v1/c2",
    "GET /v1/c2/health",
    "GET /v1/c2/laggards",
    "POST /v1/c2/key",
    "POST /v1/c2/key/finish",
    "POST /v1/c2/key/abort",
    "GET /v1/key-changes",
    "GET /v1/clients/{client}/holdings",
    "PATCH /v1/topics/{topic}",
    "GET /v1/topics/{topic}/laggards",
    "GET /v1/topics/{topic}/evicted",
    "GET /v1/topics/{topic}/changes",
    "POST /v1/topics/{topic}/plans",
    "GET /v1/topics/{topic}/plans",
    "GET /v1/topics/{topic}/plans/{plan}",
    "POST /v1/topics/{topic}/plans/{plan}/activate",
    "POST /v1/topics/{topic}/plans/{plan}/abort",
    "POST /v1/clients",
    "POST /v1/clients/batch",
    "POST /v1/clients/batch/remove",
    "GET /v1/clients",
    "GET /v1/clients/{client}",
    "DELETE /v1/clients/{client}",
    "GET /v1/clients/{client}/topics",
    "POST /v1/clients/{client}/key",
    "POST /v1/clients/{client}/key/confirm",
    "POST /v1/clients/{client}/key/cancel",
    "POST /v1/clients/{client}/c2-key/confirm",
    "POST /v1/clients/{client}/enrol",
    "POST /v1/clients/{client}/reset",
    "GET /v1/clients/{client}/links",
    "POST /v1/clients/{client}/links",
    "DELETE /v1/clients/{client}/links",
    "DELETE /v1/clients/{client}/links/{peer}",
    "POST /v1/topics",
    "POST /v1/topics/batch",
    "POST /v1/topics/{topic}/members/batch",
    "GET /v1/topics",
    "GET /v1/topics/{topic}",
    "DELETE /v1/topics/{topic}",
    "POST /v1/topics/{topic}/rotate",
    "GET /v1/topics/{topic}/members",
    "POST /v1/topics/{topic}/members",
    "POST /v1/topics/{topic}/evict",
    "GET /v1/audit",
    "GET /v1/audit/checkpoints",
    "GET /v1/audit/log",
    "GET /v1/audit/verification",
    "POST /v1/audit/prune",
    "GET /v1/kms",
    "GET /v1/kms/providers",
    "GET /v1/kms/rows",
    "POST /v1/kms/deks/{purpose}/{version}/rotate",
    "POST /v1/kms/deks/{purpose}/{version}/retire",
    "POST /v1/kms/deks/{purpose}/{version}/wraps",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/check",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/remove",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/rewrap",
    "GET /v1/commands",
    "POST /v1/commands/{command}/retry",
    "GET /v1/recovery",
    "POST /v1/recovery/compare",
    "POST /v1/recovery/confirm",
    "GET /v1/operations/{operation}",
    "POST /v1/enrolments",
    "GET /v1/enrolments",
    "GET /v1/enrolments/{enrolment}",
    "DELETE /v1/enrolments/{enrolment}",
    "GET /v1/enrol",
    "POST /v1/enrol",
    "GET /v1/events",
    "GET /v1/events/stream",
    "POST /v1/webhooks",
    "GET /v1/webhooks",
    "GET /v1/webhooks/{webhook}",
    "PATCH /v1/webhooks/{webhook}",
    "DELETE /v1/webhooks/{webhook}",
    "POST /v1/webhooks/{webhook}/resume",
    "POST /v1/webhooks/{webhook}/test",
    "POST /v1/identities",
    "GET /v1/identities",
    "GET /v1/identities/{identity}",
    "DELETE /v1/identities/{identity}",
    "POST /v1/topics/{topic}/protect",
    "POST /v1/topics/{topic}/unprotect",
    "GET /v1/approvals",
    "GET /v1/approvals/{approval}",
    "POST /v1/approvals/{approval}/approve",
    "POST /v1/approvals/{approval}/refuse",
    "POST /v1/tokens",
    "GET /v1/tokens",
    "GET /v1/tokens/{token}",
    "DELETE /v1/tokens/{token}",
}


@pytest.fixture(scope="module", params=["sk", "pk"])
def c2(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("c2"), suite=request.param)) as served:
        yield served


@pytest.fixture(scope="module")
def pk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("pk"), suite="pk")) as served:
        yield served


@pytest.fixture
def suite(c2: Served) -> Suite:
    return load_suite(c2.settings.suite)


@pytest.fixture
def client(c2: Served, suite: Suite, request: pytest.FixtureRequest) -> str:
    return c2.client(f"client of {request.node.name}", suite=suite)


def test_the_description_is_json_and_lists_exactly_the_routes(c2: Served) -> None:
    description = json.loads(c2.http.get("/v1/openapi.json").content)
    listed = {f"{method.upper()} {path}" for path, item in description["paths"].items() for method in item}
    assert listed == ROUTES
    operations = [of for item in description["paths"].values() for of in item.values()]
    assert all(of["summary"] for of in operations)
    assert len({of["operationId"] for of in operations}) == len(ROUTES)
    assert {"default"} <= set(operations[0]["responses"])
    assert '"422"' not in json.dumps(description)


def test_health_and_readiness_are_told_without_a_token(c2: Served) -> None:
    with c2.stranger() as http:
        for path in ("/v1/health", "/v1/ready"):
            answer = http.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_a_c2_tells_its_suite_and_its_broker(c2: Served, suite: Suite) -> None:
    about = c2.http.get("/v1/c2").json()
    assert about["suite"] == suite.name
    assert about["symmetric"] is suite.is_symmetric
    assert about["broker"] == c2.settings.broker
    assert [(key["version"], key["state"]) for key in about["c2_keys"]] == (
        [] if suite.is_symmetric else [(1, "active")]
    )


def test_a_client_is_registered_shown_and_found_by_its_exact_name(c2: Served, suite: Suite) -> None:
    name = "site/7 ü?&=#"
    made = created(c2.http.post("/v1/clients", json={"name": name, "key": b64(device_key(suite))}))
    assert made["id"] == suite.derive_id(name).hex()
    assert made["status"] == "active"
    assert c2.http.get(f"/v1/clients/{made['id']}").json() == made
    assert c2.http.get("/v1/clients", params={"name": name}).json() == {"items": [made], "next": None}
    assert c2.http.get("/v1/clients", params={"name": "site/7"}).json() == {"items": [], "next": None}


def test_a_client_may_have_an_id_of_its_own(c2: Served, suite: Suite) -> None:
    body = {"name": "chosen", "key": b64(device_key(suite)), "id": "0123456789abcdef" * 2}
    assert created(c2.http.post("/v1/clients", json=body))["id"] == body["id"]


def test_a_second_client_of_one_name_is_refused_and_changes_nothing(c2: Served, client: str, suite: Suite) -> None:
    before = c2.http.get(f"/v1/clients/{client}").json()
    again = {"name": before["name"], "key": b64(device_key(suite)), "id": "f" * 32}
    problem(c2.http.post("/v1/clients", json=again), 409, "conflict")
    assert c2.http.get(f"/v1/clients/{client}").json() == before


def test_a_topic_is_created_shown_found_and_never_created_twice(c2: Served) -> None:
    made = created(c2.http.post("/v1/topics", json={"name": "plant/1"}))
    assert made["members"] == 0
    assert c2.http.get(f"/v1/topics/{made['id']}").json() == made
    (listed,) = c2.http.get("/v1/topics", params={"name": "plant/1"}).json()["items"]
    assert listed == {field: made[field] for field in listed}
    problem(c2.http.post("/v1/topics", json={"name": "plant/1"}), 409, "conflict")
    assert c2.http.get(f"/v1/topics/{made['id']}").json() == made


def test_control_topics_are_refused(c2: Served) -> None:
    problem(c2.http.post("/v1/topics", json={"name": "e4/mine"}), 422, "bad_topic")


def test_members_join_are_listed_and_evicted_with_a_new_key(c2: Served, suite: Suite) -> None:
    one, other = (c2.client(f"member {n}", suite=suite) for n in range(2))
    topic = c2.topic("joined")
    joined = operation(c2.http.post(f"/v1/topics/{topic}/members", json={"clients": [one, other]}))
    assert (joined["kind"], joined["subject"]) == ("join", "joined")
    members = c2.http.get(f"/v1/topics/{topic}/members").json()
    assert [member["id"] for member in members["items"]] == [one, other]
    assert [of["id"] for of in c2.http.get(f"/v1/clients/{one}/topics").json()["items"]] == [topic]
    before = c2.http.get(f"/v1/topics/{topic}").json()
    operation(c2.http.post(f"/v1/topics/{topic}/evict", json={"clients": [one]}))
    after = c2.http.get(f"/v1/topics/{topic}").json()
    assert after["members"] == 1
    assert after["rotated"] > before["rotated"]


def test_an_eviction_without_a_new_key_is_possible(c2: Served, suite: Suite) -> None:
    topic = c2.topic("kept", c2.client("goes", suite=suite))
    before = c2.http.get(f"/v1/topics/{topic}").json()
    gone = suite.derive_id("goes").hex()
    operation(c2.http.post(f"/v1/topics/{topic}/evict", json={"clients": [gone], "rekey": False}))
    after = c2.http.get(f"/v1/topics/{topic}").json()
    assert (after["members"], after["evicted"], after["rotated"]) == (0, 1, before["rotated"])


def test_a_topic_is_rotated_and_its_operation_can_be_followed(c2: Served, client: str) -> None:
    topic = c2.topic("rotated", client)
    rotated = operation(c2.http.post(f"/v1/topics/{topic}/rotate"))
    shown = c2.http.get(f"/v1/operations/{rotated['id']}").json()
    assert sum(shown["counts"].values()) == 1
    assert {**shown, "counts": {}} == {**rotated, "counts": {}}


def test_a_removed_topic_is_gone(c2: Served, client: str) -> None:
    topic = c2.topic("removed", client)
    assert operation(c2.http.delete(f"/v1/topics/{topic}"))["kind"] == "remove_topic"
    problem(c2.http.get(f"/v1/topics/{topic}"), 404, "not_found")


@pytest.mark.parametrize("rekey", [True, False])
def test_a_removed_client_is_gone_and_its_topics_are_rekeyed_unless_refused(
    c2: Served, suite: Suite, rekey: bool
) -> None:
    client = c2.client(f"removed {rekey}", suite=suite)
    topic = c2.topic(f"left {rekey}", client)
    before = c2.http.get(f"/v1/topics/{topic}").json()
    operation(c2.http.delete(f"/v1/clients/{client}", params={"rekey": rekey}))
    problem(c2.http.get(f"/v1/clients/{client}"), 404, "not_found")
    after = c2.http.get(f"/v1/topics/{topic}").json()
    assert after["members"] == 0
    assert (after["rotated"] > before["rotated"]) is rekey


@pytest.mark.parametrize("end", ["confirm", "cancel"])
def test_a_key_change_lasts_until_it_is_confirmed_or_cancelled(c2: Served, client: str, end: str) -> None:
    path = f"/v1/clients/{client}"
    operation(c2.http.post(f"{path}/key", json={"reason": "routine"}))
    assert c2.http.get(path).json()["key_change"] is True
    problem(c2.http.post(f"{path}/key", json={"reason": "routine"}), 409, "conflict")
    c2.clock.ahead_s += 700 if end == "cancel" else 0  # until then its command may still reach the device
    assert c2.http.post(f"{path}/key/{end}").status_code == {"confirm": 202, "cancel": 200}[end]
    assert c2.http.get(path).json()["key_change"] is False
    problem(c2.http.post(f"{path}/key/{end}"), 409, "conflict")


def test_a_compromised_client_is_suspended_until_enrolled_with_another_key(c2: Served, suite: Suite) -> None:
    old = device_key(suite)
    path = f"/v1/clients/{c2.client('compromised', old)}"
    operation(c2.http.post(f"{path}/key", json={"reason": "compromised"}))
    assert c2.http.get(path).json()["status"] == "suspended"
    problem(c2.http.post(f"{path}/reset"), 409, "conflict")
    problem(c2.http.post(f"{path}/enrol", json={"key": b64(old)}), 409, "conflict")
    operation(c2.http.post(f"{path}/enrol", json={"key": b64(device_key(suite))}))
    assert c2.http.get(path).json()["status"] == "active"


def test_a_reset_sends_everything_again(c2: Served, client: str) -> None:
    c2.topic("held", client)
    assert operation(c2.http.post(f"/v1/clients/{client}/reset"))["kind"] == "reset"


def test_commands_are_listed_by_client_and_state(c2: Served, client: str) -> None:
    c2.topic("commanded", client)
    name = c2.http.get(f"/v1/clients/{client}").json()["name"]
    (command,) = c2.http.get("/v1/commands", params={"client": client}).json()["items"]
    assert (command["client"], command["kind"]) == (name, "topic")
    states = ("pending", "sending", "sent")
    found = [c2.http.get("/v1/commands", params={"client": client, "state": state}).json()["items"] for state in states]
    assert sum(map(len, found)) >= 1
    refused = c2.http.get("/v1/commands", params={"client": client, "state": "refused"}).json()
    assert refused == {"items": [], "next": None}


def test_links_are_made_listed_and_ended(pk: Served) -> None:
    suite = load_suite("pk")
    holder, *peers = (pk.client(f"linked {n}", suite=suite) for n in range(3))
    path = f"/v1/clients/{holder}/links"
    for peer in peers:
        assert operation(pk.http.post(path, json={"peer": peer}))["kind"] == "link"
    assert [peer["id"] for peer in pk.http.get(path).json()["items"]] == peers
    assert operation(pk.http.delete(f"{path}/{peers[0]}"))["kind"] == "unlink"
    assert [peer["id"] for peer in pk.http.get(path).json()["items"]] == peers[1:]
    assert operation(pk.http.delete(path))["kind"] == "reset_links"
    assert pk.http.get(path).json() == {"items": [], "next": None}


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Served]:
    """A C2 whose key no other test has changed."""
    with serving(settings_in(tmp_path, suite="pk")) as served:
        yield served


def change(c2: Served, reason: str) -> dict[str, Any]:
    return operation(c2.http.post("/v1/c2/key", json={"reason": reason}))


def key_states(c2: Served) -> list[str]:
    return [key["state"] for key in c2.http.get("/v1/c2").json()["c2_keys"]]


def test_the_c2_key_is_changed_in_overlap(fresh: Served) -> None:
    assert change(fresh, "routine")["kind"] == "new_c2_key_routine"
    problem(fresh.http.post("/v1/c2/key", json={"reason": "routine"}), 409, "conflict")
    fresh.client("laggard", suite=load_suite("pk"))
    problem(fresh.http.post("/v1/c2/key/finish", json={}), 409, "conflict")
    finished = fresh.http.post("/v1/c2/key/finish", json={"force": True})
    assert (finished.status_code, finished.json()["version"], finished.json()["state"]) == (200, 2, "active")
    assert key_states(fresh) == ["retired", "active"]


def test_a_change_of_the_c2_key_needs_a_reason(fresh: Served) -> None:
    for body in (None, {}, {"reason": None}, {"reason": "boredom"}, {"reason": "routine", "force": True}):
        problem(fresh.http.post("/v1/c2/key", json=body), 422)
    assert key_states(fresh) == ["active"]


def test_a_compromised_c2_key_suspends_all_until_they_are_enrolled_with_the_new_one(fresh: Served) -> None:
    suite = load_suite("pk")
    client = fresh.client("a", suite=suite)
    topic = fresh.topic("t", client)
    before = fresh.http.get(f"/v1/topics/{topic}").json()
    made = change(fresh, "compromised")
    assert (made["kind"], made["subject"], made["counts"]) == ("new_c2_key_compromised", "2", {})
    assert key_states(fresh) == ["compromised", "active"]
    assert fresh.http.get(f"/v1/clients/{client}").json()["status"] == "suspended"
    after = fresh.http.get(f"/v1/topics/{topic}").json()
    assert (after["members"], after["rotated"] > before["rotated"]) == (1, True)
    anew = {"key": b64(device_key(suite))}
    problem(fresh.http.post(f"/v1/clients/{client}/enrol", json={**anew, "c2_key": 1}), 409, "conflict")
    operation(fresh.http.post(f"/v1/clients/{client}/enrol", json={**anew, "c2_key": 2}))
    shown = fresh.http.get(f"/v1/clients/{client}").json()
    assert (shown["status"], shown["c2_key"]) == ("active", 2)


def test_laggards_are_listed_and_confirmed_by_hand(fresh: Served) -> None:
    clients = [fresh.client(name, suite=load_suite("pk")) for name in "ab"]
    paths = [f"/v1/clients/{client}/c2-key/confirm" for client in clients]
    problem(fresh.http.post(paths[0]), 409, "conflict")
    change(fresh, "routine")
    assert [each["id"] for each in fresh.http.get("/v1/c2/laggards").json()["items"]] == clients
    first = fresh.http.get("/v1/c2/laggards", params={"limit": 1}).json()
    rest = fresh.http.get("/v1/c2/laggards", params={"cursor": first["next"]}).json()
    assert ([each["name"] for each in (*first["items"], *rest["items"])], rest["next"]) == (["a", "b"], None)
    wait_until_sent(fresh)
    for path in paths:
        confirmed = fresh.http.post(path)
        assert (confirmed.status_code, confirmed.json()["c2_key"]) == (200, 2)
    assert fresh.http.get("/v1/c2/laggards").json() == {"items": [], "next": None}
    assert fresh.http.post("/v1/c2/key/finish", json={}).json()["state"] == "active"


def wait_until_sent(c2: Served) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while {each["state"] for each in c2.http.get("/v1/commands").json()["items"]} != {"sent"}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_client_that_was_given_a_key_of_the_past_is_not_registered(fresh: Served) -> None:
    new = {"name": "late", "key": b64(device_key(load_suite("pk"))), "c2_key": 1}
    change(fresh, "routine")
    fresh.http.post("/v1/c2/key/finish", json={})
    problem(fresh.http.post("/v1/clients", json=new), 409, "conflict")
    for unknown in (0, 3, 2**31 - 1):
        problem(fresh.http.post("/v1/clients", json={**new, "c2_key": unknown}), 422)
    assert fresh.http.get("/v1/clients").json()["items"] == []
    assert created(fresh.http.post("/v1/clients", json={**new, "c2_key": 2}))["c2_key"] == 2


def test_what_a_symmetric_suite_lacks_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(settings_in(tmp_path_factory.mktemp("sk"))) as sk:
        one, other = sk.client("one"), sk.client("other")
        for reason in ("routine", "compromised"):
            problem(sk.http.post("/v1/c2/key", json={"reason": reason}), 409, "unsupported")
        problem(sk.http.post(f"/v1/clients/{one}/c2-key/confirm"), 409, "unsupported")
        assert sk.http.get("/v1/c2/laggards").json() == {"items": [], "next": None}
        new = {"name": "new", "key": b64(os.urandom(32))}
        problem(sk.http.post("/v1/clients", json={**new, "c2_key": 1}), 422)
        assert created(sk.http.post("/v1/clients", json={**new, "c2_key": 0}))["c2_key"] == 0
        problem(sk.http.post(f"/v1/clients/{one}/links", json={"peer": other}), 409, "unsupported")


def test_tokens_are_made_listed_without_text_and_revoked(c2: Served) -> None:
    made = created(c2.http.post("/v1/tokens", json={"name": "ci", "grants": ADMIN, "lifetime_s": 60}))
    assert made["expires"] == pytest.approx(made["created"] + 60)
    listed = c2.http.get("/v1/tokens").json()["items"]
    shown = {key: value for key, value in made.items() if key != "token"}
    assert shown in listed
    assert all("token" not in token for token in listed)
    assert c2.http.get(f"/v1/tokens/{made['id']}").json() == shown
    with c2.stranger(made["token"]) as http:
        assert http.get("/v1/topics").status_code == 200
        revoked = c2.http.delete(f"/v1/tokens/{made['id']}")
        assert (revoked.status_code, revoked.content) == (204, b"")
        problem(http.get("/v1/topics"), 401, "unauthenticated")
    problem(c2.http.get(f"/v1/tokens/{made['id']}"), 404, "not_found")


def test_where_something_new_is_said_to_be_it_is(c2: Served, suite: Suite) -> None:
    client = {"name": "located", "key": b64(device_key(suite))}
    for kind, body in (
        ("topics", {"name": "located"}),
        ("clients", client),
        ("tokens", {"name": "located", "grants": []}),
    ):
        made = c2.http.post(f"/v1/{kind}", json=body)
        shown = c2.http.get(made.headers["location"])
        assert (shown.status_code, shown.json()["id"]) == (200, created(made)["id"])


def test_answers_are_neither_cached_nor_interpreted(c2: Served) -> None:
    for path in ("/v1/topics", "/v1/nothing", "/v1/clients/xyz"):
        headers = c2.http.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in headers
