# SPDX-License-Identifier: Apache-2.0
"""Four eyes: what destroys is done when another principal has approved that very request, and once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx2
import pytest

from e4c2.api.four_eyes import RULES
from e4c2.api.http import ROUTERS
from e4c2.approvals import LASTS_S, WAITING_MAX
from e4core.plugins import load_suite
from tests.c2.grpc_client import Caller, calling, info, refused
from tests.c2.served import ADMIN, Served, created, problem, serving, settings_in
from tests.places import database_file

DEK = "/v1/kms/deks/lookup/1"
ABOVE = 1
DNS = {"found_by": "san", "value": "dns:self.example"}


class Eyes(NamedTuple):
    """``first`` and ``second`` are admins; ``operator`` is one over ``plant/*``; ``namesake`` is called as ``first`` is."""

    c2: Served
    first: httpx2.Client
    second: httpx2.Client
    operator: httpx2.Client
    namesake: httpx2.Client
    ids: dict[str, str]

    def asks(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> httpx2.Response:
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.first.request(method, path, json=body, headers=given)

    def approved(self, path: str, body: Any = None) -> str:
        """Id of an approval that the second gave to the first."""
        identity = needed(self.asks(path, body))
        decided(self.second.post(f"/v1/approvals/{identity}/approve"), "approved")
        return identity


def needed(answer: httpx2.Response) -> str:
    assert answer.status_code == 403, answer.text
    body = answer.json()
    assert body["kind"] == "approval_needed"
    assert body["approval"] in body["detail"]
    return str(body["approval"])


def decided(answer: httpx2.Response, state: str) -> None:
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == state


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eyes]:
    settings = settings_in(tmp_path_factory.mktemp("c2"), suite="pk", grpc_port=0, unprotect=True)
    over = {"clients": ["plant/*"], "topics": ["plant/*"]}
    with serving(settings) as c2:
        grants = {"second": ADMIN, "operator": [{"role": "operator", **over}], "admin": ADMIN}
        tokens = {name: made(c2.http, name, grant) for name, grant in grants.items()}
        suite = load_suite("pk")
        ids = {name: c2.client(name, suite=suite) for name in ("plant/1", "plant/2", "other/1")}
        ids["topic"] = c2.topic("plant/topic", *ids.values())
        ids["operator"] = tokens["operator"]["id"]
    with serving(settings.model_copy(update={"four_eyes": True, "four_eyes_above": ABOVE})) as c2, ExitStack() as stack:
        second, operator, admin = (stack.enter_context(c2.stranger(each["token"])) for each in tokens.values())
        yield Eyes(c2, c2.http, second, operator, admin, ids)


def made(http: httpx2.Client, name: str, grants: Any) -> dict[str, Any]:
    return created(http.post("/v1/tokens", json={"name": name, "grants": grants}))


def requests(ids: dict[str, str]) -> dict[str, tuple[str, Any]]:
    """Route -> a request to it that needs approval: its path with query, and its body."""
    some = [ids["plant/1"], ids["plant/2"]]
    return {
        "POST /v1/c2/key": ("/v1/c2/key", {"reason": "routine"}),
        "POST /v1/c2/key/abort": ("/v1/c2/key/abort", None),
        "POST /v1/c2/key/finish": ("/v1/c2/key/finish", {"force": True}),
        "POST /v1/clients/{client}/key": (f"/v1/clients/{some[0]}/key", {"reason": "compromised"}),
        "POST /v1/clients/batch/remove": ("/v1/clients/batch/remove", {"clients": some}),
        "POST /v1/topics/{topic}/evict": (f"/v1/topics/{ids['topic']}/evict", {"clients": some}),
        "DELETE /v1/topics/{topic}": (f"/v1/topics/{ids['topic']}", None),
        "POST /v1/topics/{topic}/unprotect": (f"/v1/topics/{ids['topic']}/unprotect", {"message": "AAAA"}),
        "POST /v1/kms/deks/{purpose}/{version}/rotate": (f"{DEK}/rotate", None),
        "POST /v1/kms/deks/{purpose}/{version}/retire": (f"{DEK}/retire", None),
        "POST /v1/kms/deks/{purpose}/{version}/wraps/remove": (f"{DEK}/wraps/remove", {"uri": "file:kek.json"}),
        "POST /v1/recovery/confirm": ("/v1/recovery/confirm", {"backup": "0" * 32}),
        "POST /v1/audit/prune": ("/v1/audit/prune", {"before": 0.0}),
        "POST /v1/tokens": ("/v1/tokens", {"name": "self", "grants": ADMIN}),
        "POST /v1/identities": ("/v1/identities", {**DNS, "name": "self", "grants": ADMIN}),
    }


def rows(c2: Served) -> list[Any]:
    with sqlite3.connect(database_file(c2.settings)) as db:
        tables = ("client", "membership", "topic", "c2_key", "dek", "dek_wrap", "token", "identity")
        # the C2 goes on with what was begun before, and sends it
        columns = {"operation": "id, kind, subject", "outbox": "id, client, kind, object"}
        wanted = [f"SELECT {columns.get(each, '*')} FROM {each}" for each in (*tables, *columns)]
        return [sorted(db.execute(each), key=repr) for each in wanted]


def test_every_rule_is_of_a_route_that_is_served_and_tried_here() -> None:
    served = {f"{method} {each.path}" for router in ROUTERS for each in router.routes for method in each.methods}  # type: ignore[attr-defined]
    assert set(RULES) <= served
    assert set(requests(dict.fromkeys(("plant/1", "plant/2", "topic"), "0" * 32))) == set(RULES)


def test_what_destroys_is_not_done_but_asked_for(eyes: Eyes) -> None:
    before = rows(eyes.c2)
    for route, (path, body) in requests(eyes.ids).items():
        method = route.partition(" ")[0]
        identity = needed(eyes.asks(path, body, method))
        assert needed(eyes.asks(path, body, method)) == identity, f"{route} waits once"
        shown = eyes.second.get(f"/v1/approvals/{identity}").json()
        assert (shown["method"], shown["path"], shown["state"]) == (method, path, "waiting")
        assert (shown["clients"] == ["plant/1", "plant/2"]) is (body is not None and len(body.get("clients", ())) == 2)
        decided(eyes.second.post(f"/v1/approvals/{identity}/refuse"), "refused")
        problem(eyes.asks(path, body, method, E4_Approval=identity), 403, "not_approved")
    assert rows(eyes.c2) == before


def test_what_is_harmless_needs_no_approval(eyes: Eyes) -> None:
    free = [
        ("/v1/c2/key/finish", {"force": False}),
        (f"{DEK}/retire?dry_run=true", None),
        (f"{DEK}/wraps/remove?dry_run=1", {"uri": "file:kek.json"}),
        ("/v1/clients/batch/remove", {"clients": ["0" * 32]}),
        ("/v1/tokens", {"name": "eyes", "grants": [{"role": "auditor", "clients": ["*"], "topics": ["*"]}]}),
    ]
    for path, body in free:
        assert "approval" not in eyes.asks(path, body).text, path


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000])
def test_a_body_that_nobody_can_judge_is_refused(eyes: Eyes, body: bytes) -> None:
    problem(eyes.first.post("/v1/c2/key/abort", content=body), 422, "invalid_input")


@pytest.mark.parametrize("header", ["", "none", "0" * 31, "g" * 32, "/" * 200])
def test_an_approval_that_is_none_is_refused(eyes: Eyes, header: str) -> None:
    answer = eyes.asks("/v1/c2/key/abort", E4_Approval=header)
    assert 400 <= answer.status_code < 500, answer.text


def test_nobody_makes_a_second_self(eyes: Eyes) -> None:
    for role in ("admin", "key-admin", "operator"):
        grants = [{"role": role, "clients": ["*"], "topics": ["*"]}]
        identity = needed(eyes.asks("/v1/tokens", {"name": "self", "grants": grants}))
        problem(eyes.first.post(f"/v1/approvals/{identity}/approve"), 403, "own_request")
        problem(eyes.first.post(f"/v1/approvals/{identity}/refuse"), 403, "own_request")


def test_another_token_of_the_same_name_is_the_same_principal(eyes: Eyes) -> None:
    identity = needed(eyes.asks("/v1/tokens", {"name": "self", "grants": ADMIN}))
    for decision in ("approve", "refuse"):
        problem(eyes.namesake.post(f"/v1/approvals/{identity}/{decision}"), 403, "own_request")
    assert eyes.first.get(f"/v1/approvals/{identity}").json()["state"] == "waiting"


def test_what_was_approved_is_done_once_and_all_is_on_record(eyes: Eyes) -> None:
    grants = [{"role": "operator", "clients": ["new/*"], "topics": []}]
    body = {"name": "approved", "grants": grants}
    waiting = needed(eyes.asks("/v1/tokens", body))
    assert needed(eyes.asks("/v1/tokens", body, E4_Approval=waiting)) == waiting
    identity = eyes.approved("/v1/tokens", body)
    assert identity == waiting
    problem(eyes.second.post(f"/v1/approvals/{identity}/refuse"), 409, "conflict")
    problem(eyes.asks("/v1/tokens", {**body, "name": "other"}, E4_Approval=identity), 403, "not_approved")
    problem(eyes.second.post("/v1/tokens", json=body, headers={"E4-Approval": identity}), 403, "not_approved")
    problem(eyes.asks("/v1/tokens", body, E4_Approval="0" * 32), 403, "not_approved")
    once = {"E4_Approval": identity, "Idempotency_Key": "approved"}
    token = created(eyes.asks("/v1/tokens", body, **once))
    assert created(eyes.asks("/v1/tokens", body, **once)) == token
    problem(eyes.asks("/v1/tokens", body, E4_Approval=identity), 403, "not_approved")
    records = eyes.first.get("/v1/audit", params={"object": f"approval:{identity}"}).json()["items"]
    assert [(each["action"], each["outcome"]) for each in records] == [
        ("tokens_create", "approval_needed"),
        ("approvals_approve", "done"),
        ("approvals_refuse", "conflict"),
        ("tokens_create", "done"),
    ]


def test_who_follows_the_events_is_told(eyes: Eyes) -> None:
    body = {"name": "told", "grants": ADMIN}
    identity = eyes.approved("/v1/tokens", body)
    created(eyes.asks("/v1/tokens", body, E4_Approval=identity))
    refused = needed(eyes.asks("/v1/tokens", body))
    decided(eyes.second.post(f"/v1/approvals/{refused}/refuse"), "refused")
    told = [each for each in eyes.first.get("/v1/events").json()["items"] if each["kind"].startswith("approval.")]
    assert [(each["kind"], each["data"].get("state")) for each in told if each["data"]["approval"] == identity] == [
        ("approval.asked", None),
        ("approval.decided", "approved"),
        ("approval.used", None),
    ]
    last = told[-1]["data"]
    assert (last["approval"], last["state"], last["name"]) == (refused, "refused", "second")
    viewer = made(eyes.first, "viewer", [{"role": "viewer", "clients": ["*"], "topics": ["*"]}])["token"]
    with eyes.c2.stranger(viewer) as http:
        kinds = {each["kind"] for each in http.get("/v1/events").json()["items"]}
    assert "topic.created" in kinds  # it sees everything, but decides nothing
    assert not {kind for kind in kinds if kind.startswith("approval.")}
    assert not [each for each in eyes.operator.get("/v1/events").json()["items"] if each["kind"].startswith("approval")]


def test_the_same_over_grpc(eyes: Eyes) -> None:
    body = {"name": "grpc", "grants": ADMIN}
    with calling(eyes.c2) as call:
        with refused("PERMISSION_DENIED", "approval_needed") as refusal:
            call("Tokens.Create", body=body)
        identity = info(refusal.error).metadata["approval"]
        with refused("PERMISSION_DENIED", "own_request"):
            call("Approvals.Approve", approval=identity)
        second = Caller(call.channel, eyes.second.headers["authorization"].removeprefix("Bearer "))
        assert second("Approvals.Approve", approval=identity).state == "approved"
        assert call("Tokens.Create", ("e4-approval", identity), body=body).name == "grpc"
        with refused("PERMISSION_DENIED", "not_approved"):
            call("Tokens.Create", ("e4-approval", identity), body=body)


def test_a_change_of_the_keys_uses_its_approval_up_at_its_beginning(eyes: Eyes) -> None:
    identity = eyes.approved("/v1/kms/deks/audit/1/rotate")
    assert eyes.asks("/v1/kms/deks/audit/1/rotate", E4_Approval=identity).status_code == 202
    problem(eyes.asks("/v1/kms/deks/audit/1/rotate", E4_Approval=identity), 403, "not_approved")
    assert eyes.first.get(f"/v1/approvals/{identity}").json()["state"] == "used"


def test_who_may_not_do_it_neither_sees_nor_decides_it(eyes: Eyes) -> None:
    all_of_plant = {"clients": [eyes.ids["plant/1"], eyes.ids["plant/2"]]}
    theirs = needed(eyes.asks("/v1/clients/batch/remove", all_of_plant))
    elsewhere = needed(eyes.asks("/v1/clients/batch/remove", {"clients": [eyes.ids["plant/1"], eyes.ids["other/1"]]}))
    for answer in (
        eyes.operator.get(f"/v1/approvals/{elsewhere}"),
        eyes.operator.post(f"/v1/approvals/{elsewhere}/approve"),
    ):
        problem(answer, 404, "not_found")
    seen = {each["id"] for each in eyes.operator.get("/v1/approvals").json()["items"]}
    assert theirs in seen
    assert elsewhere not in seen


def test_a_topic_is_removed_when_another_has_approved_it(eyes: Eyes) -> None:
    topic = created(eyes.c2.http.post("/v1/topics", json={"name": "plant/old"}))["id"]
    identity = needed(eyes.asks(f"/v1/topics/{topic}", method="DELETE"))
    decided(eyes.operator.post(f"/v1/approvals/{identity}/approve"), "approved")
    assert eyes.asks(f"/v1/topics/{topic}", method="DELETE", E4_Approval=identity).status_code == 202
    assert eyes.first.get(f"/v1/topics/{topic}").status_code == 404


def test_an_approval_ends_after_an_hour(eyes: Eyes) -> None:
    path, body = f"/v1/clients/{eyes.ids['other/1']}/key", {"reason": "compromised"}
    identity = eyes.approved(path, body)
    eyes.c2.clock.ahead_s += LASTS_S
    problem(eyes.asks(path, body, E4_Approval=identity), 403, "not_approved")
    assert eyes.first.get(f"/v1/approvals/{identity}").json()["state"] == "expired"
    assert needed(eyes.asks(path, body)) != identity


def test_who_has_approved_must_still_be_allowed_to(eyes: Eyes) -> None:
    body = {"clients": [eyes.ids["plant/1"], eyes.ids["plant/2"]]}
    eyes.c2.clock.ahead_s += LASTS_S
    identity = needed(eyes.asks("/v1/clients/batch/remove", body))
    decided(eyes.operator.post(f"/v1/approvals/{identity}/approve"), "approved")
    assert eyes.first.delete(f"/v1/tokens/{eyes.ids['operator']}").status_code == 204
    problem(eyes.asks("/v1/clients/batch/remove", body, E4_Approval=identity), 403, "not_approved")


def test_a_row_that_somebody_has_changed_is_an_alarm(eyes: Eyes) -> None:
    path, body = f"/v1/clients/{eyes.ids['other/1']}/key", {"reason": "compromised"}
    eyes.c2.clock.ahead_s += LASTS_S
    identity = needed(eyes.asks(path, body))
    with sqlite3.connect(database_file(eyes.c2.settings)) as db:
        change = "UPDATE approval SET state = ? WHERE id = ?"
        db.execute(change, ("approved", bytes.fromhex(identity)))
        db.commit()
        problem(eyes.asks(path, body, E4_Approval=identity), 500, "tampered")
        db.execute(change, ("waiting", bytes.fromhex(identity)))


def test_so_many_wait_and_no_more(eyes: Eyes) -> None:
    eyes.c2.clock.ahead_s += LASTS_S
    for number in range(WAITING_MAX):
        needed(eyes.asks("/v1/audit/prune", {"before": float(number)}))
    problem(eyes.asks("/v1/audit/prune", {"before": 0.5}), 409, "conflict")
