# SPDX-License-Identifier: Apache-2.0
"""The audit log over the API: every change and every refused attempt is in it, once, with who and what, and never a secret."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e4c2 import notary, outages
from e4c2.api.bodies import BODY_MAX
from e4c2.app import open_c2
from e4c2.audit.records import Record
from e4c2.audit.signing import Checkpoint, PublicKey
from e4c2.enrolment.tokens import AGAIN_S
from e4core.errors import TransportError
from e4core.transport import Incoming
from e4transports.memory import named
from tests.c2.served import PATIENCE_S, Served, b64, bearer, created, operation, problem, serving, settings_in


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(settings_in(tmp_path_factory.mktemp("audit"), audit_checkpoint_s=1)) as c2:
        yield c2


def records(c2: Served, **wanted: str | float) -> list[dict[str, Any]]:
    answer = c2.http.get("/v1/audit", params={"limit": 1000, **wanted})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def newest(c2: Served) -> int:
    number: int = c2.http.get("/v1/audit/log").json()["last"]
    return number


def since(c2: Served, number: int) -> list[dict[str, Any]]:
    return [each for each in records(c2) if each["number"] > number]


def test_the_log_begins_with_the_c2_itself(shared: Served) -> None:
    first = records(shared)[:3]
    assert [each["action"] for each in first] == ["c2_first_start", "admin_token_made", "c2_started"]
    assert {each["principal"] for each in first} == {"c2"}


def test_a_change_is_recorded_once_with_who_and_what(shared: Served) -> None:
    before, secret = newest(shared), os.urandom(32)
    keyed = {"Idempotency-Key": "once"}
    made = [
        created(shared.http.post("/v1/clients", json={"name": "pump", "key": b64(secret)}, headers=keyed))["id"]
        for _ in range(2)
    ]
    topic = shared.topic("plant", made[0])
    told = since(shared, before)
    assert [(each["action"], each["objects"], each["outcome"]) for each in told] == [
        ("clients_create", ["client_name:pump", f"client:{made[0]}"], "done"),
        ("topics_create", ["topic_name:plant", f"topic:{topic}"], "done"),
        ("topics_join", [f"topic:{topic}", f"client:{made[0]}"], "done"),
    ]
    me = shared.http.get("/v1/self").json()
    for each in told:
        assert each["principal"] == f"token/{me['id']} {me['name']}"
        assert each["source"] == "127.0.0.1"
        assert len(each["digest"]) == 72
    assert len({each["request"] for each in told} - {""}) == 3
    text = json.dumps(told)
    assert not any(form in text for form in (b64(secret), secret.hex(), shared.token))


def test_a_refused_attempt_is_recorded_and_changes_nothing_else(shared: Served) -> None:
    created(shared.http.post("/v1/topics", json={"name": "twice"}))
    before = newest(shared)
    problem(shared.http.post("/v1/topics", json={"name": "twice"}), 409)
    problem(shared.http.post(f"/v1/topics/{'0' * 32}/rotate"), 404)
    problem(shared.http.post("/v1/kms/deks/records/7/rotate"), 409)
    assert [(each["action"], each["objects"], each["outcome"]) for each in since(shared, before)] == [
        ("topics_create", ["topic_name:twice"], "conflict"),
        ("topics_rotate", [f"topic:{'0' * 32}"], "not_found"),
        ("kms_rotate", ["dek:records/7"], "conflict"),
    ]


def test_of_many_each_is_on_record_with_what_became_of_it(shared: Served) -> None:
    """And of those that were done every one, however many records that takes."""
    ids = [shared.client(f"many/{number}") for number in range(400)]
    topic, absent = shared.topic("many"), "0" * 32
    before = newest(shared)
    body = {"clients": [*ids, absent]}
    assert shared.http.post(f"/v1/topics/{topic}/members/batch", json=body).status_code == 200
    told = since(shared, before)
    assert len({each["request"] for each in told}) == 1
    named = {
        outcome: [o for each in told if each["outcome"] == outcome for o in each["objects"]]
        for outcome in ("done", "not_found")
    }
    assert named == {
        "done": [f"topic:{topic}", *(f"client:{each}" for each in ids)],
        "not_found": [f"topic:{topic}", f"client:{absent}"],
    }
    assert len(told) == 4


def test_what_was_refused_of_many_is_not_said_to_be_done(shared: Served) -> None:
    mine, others = shared.client("mine/1"), shared.client("others/1")
    grants = [
        {"role": "operator", "clients": ["mine/*"], "topics": []},
        {"role": "viewer", "clients": ["*"], "topics": []},
    ]
    shown = bearer(created(shared.http.post("/v1/tokens", json={"name": "plant", "grants": grants}))["token"])
    before = newest(shared)
    body = {"clients": [others]}
    assert shared.http.post("/v1/clients/batch/remove", json=body, headers=shown).status_code == 200
    body = {"clients": [others, mine]}
    assert shared.http.post("/v1/clients/batch/remove", json=body, headers=shown).status_code == 200
    assert [(each["outcome"], each["objects"]) for each in since(shared, before)] == [
        ("forbidden", [f"client:{others}"]),
        ("forbidden", [f"client:{others}"]),
        ("done", [f"client:{mine}"]),
    ]


def test_what_is_only_read_and_what_has_no_form_is_not_on_record(shared: Served) -> None:
    before = newest(shared)
    for status, method, path, body in (
        (200, "GET", "/v1/topics", None),
        (404, "GET", f"/v1/topics/{'0' * 32}", None),
        (422, "GET", "/v1/topics?colour=blue", None),
        (400, "POST", "/v1/topics", b"{"),
        (422, "POST", "/v1/topics", b'{"nam": "x"}'),
        (422, "POST", "/v1/topics", b'{"name": 1}'),
        (422, "POST", "/v1/topics/x/rotate", None),
        (404, "POST", "/v1/none", None),
        (405, "PUT", "/v1/topics", None),
        (415, "POST", "/v1/topics", b"{}"),
        (413, "POST", "/v1/topics", bytes(BODY_MAX + 1)),
    ):
        headers = {"Content-Type": "application/json", **({"Content-Encoding": "gzip"} if status == 415 else {})}
        answer = shared.http.request(method, path, content=body, headers=headers)
        assert answer.status_code == status, (path, answer.text)
    assert since(shared, before) == []
    problem(shared.http.post("/v1/topics", json={"name": "a/#"}), 422)  # a form like others, which no topic can have
    assert [(each["action"], each["outcome"]) for each in since(shared, before)] == [("topics_create", "bad_topic")]


def test_who_is_not_let_in_is_counted(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as c2:
        grants = [{"role": "viewer", "clients": ["*"], "topics": ["*"]}]
        viewer = c2.http.post("/v1/tokens", json={"name": "ann", "grants": grants}).json()
        before = newest(c2)
        with c2.stranger("nope") as stranger, c2.stranger(viewer["token"]) as ann:
            for _ in range(3):
                problem(stranger.get("/v1/topics"), 401)
            for _ in range(2):
                problem(ann.post("/v1/topics", json={"name": "x"}), 403)
                problem(ann.get("/v1/audit"), 403)
            problem(ann.post("/v1/audit/prune", json={"before": 0}), 403)
        assert newest(c2) == before
    with serving(settings) as c2:  # what was counted is written at the latest when the C2 stops
        told = [each for each in since(c2, before) if each["action"] == "refused"]
    annas = f"token/{viewer['id']} ann"
    assert {(each["principal"], each["outcome"], *each["objects"], each["count"]) for each in told} == {
        ("nobody", "unauthenticated", 3),
        (annas, "forbidden", "action:topics_create", 2),
        (annas, "forbidden", "action:audit_list", 2),
        (annas, "forbidden", "action:audit_prune", 1),
    }
    assert {each["source"] for each in told} == {"127.0.0.1"}


def test_refusals_are_on_record_while_the_c2_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notary, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(notary, "REFUSALS_EVERY", 5)
    with serving(settings_in(tmp_path)) as c2, c2.stranger("nope") as stranger:
        for times in (1, 2):
            before, deadline = newest(c2), time.monotonic() + PATIENCE_S
            for _ in range(times):
                problem(stranger.get("/v1/topics"), 401)
            while sum(each["count"] for each in since(c2, before)) < times:
                assert time.monotonic() < deadline
            assert {(each["action"], each["outcome"]) for each in since(c2, before)} == {("refused", "unauthenticated")}
            assert sum(each["count"] for each in since(c2, before)) == times


def test_who_holds_an_enrolment_token_fills_no_log(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    new = {"name": "line", "clients": "*", "topics": [], "uses": 1, "lifetime_s": 60.0}
    asked = {"name": "x", "key": b64(os.urandom(32)), "c2_key": 0, "proof": b64(os.urandom(80))}
    with serving(settings) as c2:
        made = created(c2.http.post("/v1/enrolments", json=new))
        before = newest(c2)
        with c2.stranger(made["token"]) as http:
            answers = [http.post("/v1/enrol", json=asked) for _ in range(30)]
            c2.clock.ahead_s = 60 + AGAIN_S - 30
            assert http.get("/v1/enrol").status_code in (200, 429)
            c2.clock.ahead_s += 31
            problem(http.get("/v1/enrol"), 401, "unauthenticated")
        kinds = Counter(each.json()["kind"] for each in answers)
        assert newest(c2) == before
        c2.clock.ahead_s = 0
    assert set(kinds) == {"bad_length", "too_many_requests"}
    with serving(settings) as c2:
        told = {
            each["outcome"]: each["count"] for each in since(c2, before) if each["principal"].startswith("enrolment/")
        }
    assert told["bad_length"] == kinds["bad_length"] < 30


def test_filters_and_pages(shared: Served) -> None:
    created(shared.http.post("/v1/topics", json={"name": "found"}))
    problem(shared.http.post("/v1/topics", json={"name": "found"}), 409)
    everything = records(shared)
    me = everything[-1]["principal"].split(" ")[0]
    mine = records(shared, principal=me)
    assert mine == [each for each in everything if each["principal"].startswith(f"{me} ")]
    assert records(shared, outcome="conflict", action="topics_create")[-1]["objects"] == ["topic_name:found"]
    assert len(records(shared, object="topic_name:found")) == 2
    first = shared.http.get("/v1/audit", params={"limit": 2}).json()
    second = shared.http.get("/v1/audit", params={"limit": 2, "cursor": first["next"]}).json()
    assert first["items"] + second["items"] == everything[:4]
    assert records(shared, since=everything[3]["time"], until=everything[4]["time"])[0] == everything[3]
    problem(shared.http.get("/v1/audit", params={"cursor": "eA=="}), 422, "bad_cursor")
    problem(shared.http.get("/v1/audit", params={"limit": 0}), 422)
    problem(shared.http.get("/v1/audit", params={"who": "me"}), 422)


def test_what_the_api_gives_is_enough_to_compute_the_hash(shared: Served) -> None:
    log = shared.http.get("/v1/audit/log").json()
    upto = bytes.fromhex(log["base_hash"])
    for each in records(shared):
        upto = Record.parse(each).follows(upto)
    assert (upto.hex(), len(records(shared))) == (log["last_hash"], log["last"])
    verified, cursor = 0, None
    while True:
        query = {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
        answer = shared.http.get("/v1/audit/verification", params=query).json()
        assert answer["number"] > verified or answer["next"] is None
        verified, cursor = answer["number"], answer["next"]
        if cursor is None:
            break
    assert (verified, answer["hash"]) == (log["last"], log["last_hash"])
    problem(shared.http.get("/v1/audit/verification", params={"cursor": "eA=="}), 422, "bad_cursor")


def test_checkpoints_are_signed_published_and_listed(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, audit_checkpoint_s=1, audit_topic="witness/here")
    published: list[Checkpoint] = []
    named(settings.broker.partition(":")[2]).taps.append(
        lambda seen: published.append(Checkpoint.decode(seen.payload)) if seen.topic == "witness/here" else None
    )
    with serving(settings) as c2:
        c2.topic("t")
        last = newest(c2)
        for _ in range(600):
            if published and published[-1].number >= last:
                break
            c2.run(asyncio.sleep(0.02))
        key = PublicKey.parse(c2.http.get("/v1/audit/log").json()["public_key"])
        listed = [Checkpoint.parse(each) for each in c2.http.get("/v1/audit/checkpoints").json()["items"]]
    assert published[-1].number >= last
    assert set(published) == set(listed)
    for each in published:
        each.verify(key)
    with serving(settings) as c2:  # perhaps a crash came before it was published
        for _ in range(600):
            if published.count(listed[-1]) > 1:
                break
            c2.run(asyncio.sleep(0.02))
    assert published.count(listed[-1]) == 2


def test_a_checkpoint_that_could_not_be_published_is_published_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the outage is told once, as its end is, whenever there is one."""
    monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.01)
    caplog.set_level("WARNING", outages.__name__)
    settings = settings_in(tmp_path, audit_checkpoint_s=1, audit_topic="witness/here")
    tried: list[bytes] = []

    def tap(seen: Incoming) -> None:
        if seen.topic == "witness/here":
            tried.append(seen.payload)
            if len(tried) in {1, 2, 4, 5}:
                raise TransportError("the broker is away")

    named(settings.broker.partition(":")[2]).taps.append(tap)
    with serving(settings) as c2:
        for _ in range(600):
            if len(tried) == 3:
                c2.http.post("/v1/topics", json={"name": "for another checkpoint"})
            if len(tried) > 5:
                break
            c2.run(asyncio.sleep(0.02))
        checkpoints = c2.http.get("/v1/audit/checkpoints").json()["items"]
    parsed = [Checkpoint.parse(each) for each in checkpoints]
    assert {Checkpoint.decode(tried[2]), Checkpoint.decode(tried[5])} <= set(parsed)
    told = [each.getMessage() for each in caplog.records if each.name == outages.__name__]
    begun = "checkpoints of the audit log wait: the broker is away"
    assert told == [begun, "checkpoints of the audit log go on"] * 2
    assert len(checkpoints) < len(tried)


def test_records_are_pruned_up_to_a_checkpoint_and_that_is_recorded(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, audit_checkpoint_s=1)
    with serving(settings) as c2:
        problem(c2.http.post("/v1/audit/prune", json={"before": 0}), 409, "conflict")
        for _ in range(600):
            if c2.http.get("/v1/audit/checkpoints").json()["items"]:
                break
            c2.run(asyncio.sleep(0.02))
        (checkpoint, *_) = c2.http.get("/v1/audit/checkpoints").json()["items"]
        answer = c2.http.post("/v1/audit/prune", json={"before": checkpoint["time"] + 0.0001})
        assert answer.json() == {"base": checkpoint["number"]}
        assert records(c2)[0]["number"] == checkpoint["number"] + 1
        assert records(c2)[-1]["action"] == "audit_prune"
        assert c2.http.get("/v1/audit/verification").json()["number"] == newest(c2)


def test_a_start_with_a_log_that_was_cut_is_refused_when_it_is_verified(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with serving(settings) as c2:
        operation(c2.http.post(f"/v1/topics/{c2.topic('t')}/rotate"))

    async def cut() -> None:
        import sqlalchemy as sa

        async with open_c2(settings) as (c2, _):
            await c2.store.write(lambda db: db.execute(sa.text("DELETE FROM audit_record WHERE number = 3")) and None)

    asyncio.run(cut())
    with serving(settings) as c2, c2.stranger(c2.token) as http:
        found = problem(http.get("/v1/audit/verification"), 500, "audit_missing")
        assert "record 3 is missing" in found["detail"]
