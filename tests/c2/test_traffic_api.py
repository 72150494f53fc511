# SPDX-License-Identifier: Apache-2.0
"""Protect and unprotect over the API: off unless switched on, of roles of their own, on record, and never kept."""

from __future__ import annotations

import json
import os
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.c2.grpc_client import Caller, calling, info, refused
from tests.c2.served import ADMIN, Served, b64, bearer, created, problem, serving, settings_in
from tests.places import database_file

PAYLOAD = b"a payload that nobody else is to see"


@pytest.fixture(scope="module")
def c2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = settings_in(tmp_path_factory.mktemp("c2"), suite="sk", protect=True, unprotect=True, grpc_port=0)
    with serving(settings) as served:
        yield served


@pytest.fixture(scope="module")
def topic(c2: Served) -> str:
    return c2.topic("plant/t", c2.client("plant/1"))


def token(c2: Served, role: str, pattern: str = "*") -> dict[str, str]:
    grants = [{"role": role, "clients": [], "topics": [pattern]}]
    return bearer(created(c2.http.post("/v1/tokens", json={"name": role, "grants": grants}))["token"])


def protect(c2: Served, topic: str, payload: bytes = PAYLOAD, **headers: str) -> httpx2.Response:
    return c2.http.post(f"/v1/topics/{topic}/protect", json={"payload": b64(payload)}, headers=headers)


def unprotect(c2: Served, topic: str, message: str, **headers: str) -> httpx2.Response:
    return c2.http.post(f"/v1/topics/{topic}/unprotect", json={"message": message}, headers=headers)


def message(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"message"}
    return str(answer.json()["message"])


def test_what_one_protects_another_unprotects_once(c2: Served, topic: str) -> None:
    data = message(protect(c2, topic))
    assert PAYLOAD not in b64decode(data)
    answer = unprotect(c2, topic, data)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert b64decode(told.pop("payload")) == PAYLOAD
    assert told.pop("timestamp") > 1.7e9
    assert told == {"sender": None, "authenticated": False, "epoch": 0, "sequence": 0}
    problem(unprotect(c2, topic, data), 409, "replayed")
    problem(unprotect(c2, topic, "AAAA"), 422, "too_short")
    problem(unprotect(c2, topic, b64(os.urandom(64))), 409)
    problem(unprotect(c2, topic, "no base64"), 422, "invalid_input")
    problem(protect(c2, topic, b""), 422, "too_short")
    problem(protect(c2, topic, bytes(1 << 20)), 413, "too_large")
    problem(protect(c2, "0" * 32), 404, "not_found")


def test_no_answer_is_kept_and_no_payload_is_on_the_disk(c2: Served, topic: str) -> None:
    once = {"Idempotency-Key": "traffic"}
    data = message(protect(c2, topic, PAYLOAD, **once))
    assert unprotect(c2, topic, data, **once).status_code == 200
    problem(unprotect(c2, topic, data, **once), 409, "replayed")
    data = message(protect(c2, topic, b"another"))
    problem(unprotect(c2, topic, b64(b64decode(data)[:-1] + b"!")), 422, "not_authentic")
    with sqlite3.connect(database_file(c2.settings)) as db:
        assert db.execute("SELECT count(*) FROM idempotency").fetchone() == (0,)
    for file in c2.settings.data.iterdir():
        content = file.read_bytes()
        assert PAYLOAD not in content, file
        assert b64(PAYLOAD).encode() not in content, file


def test_each_use_is_on_record_with_its_outcome(c2: Served, topic: str) -> None:
    data = message(protect(c2, topic, b"on record"))
    unprotect(c2, topic, data)
    unprotect(c2, topic, data)
    records = c2.http.get("/v1/audit", params={"object": f"topic:{topic}", "limit": 1000}).json()["items"]
    traffic = [(each["action"], each["outcome"]) for each in records if each["action"].endswith("protect")]
    assert traffic[-3:] == [("topics_protect", "done"), ("topics_unprotect", "done"), ("topics_unprotect", "replayed")]
    assert b64(b"on record") not in json.dumps(records)
    assert {each["principal"].partition("/")[0] for each in records} == {"token"}


def test_each_needs_a_permission_of_its_own(c2: Served, topic: str) -> None:
    may: dict[str, set[str]] = {}
    for role in ("viewer", "operator", "key-admin", "auditor", "enroller", "protector", "unprotector", "admin"):
        shown = token(c2, role)
        answers = {"protect": protect(c2, topic, b"x", **shown), "unprotect": unprotect(c2, topic, "AAAA", **shown)}
        may[role] = {each for each, answer in answers.items() if answer.status_code != 403}
        for each in set(answers) - may[role]:
            problem(answers[each], 403, "forbidden")
    nobody = {role: set[str]() for role in ("viewer", "operator", "key-admin", "auditor", "enroller")}
    assert may == {**nobody, "protector": {"protect"}, "unprotector": {"unprotect"}, "admin": {"protect", "unprotect"}}
    for role in ("protector", "unprotector"):
        elsewhere = token(c2, role, "other/*")
        act = {
            "protector": protect(c2, topic, b"x", **elsewhere),
            "unprotector": unprotect(c2, topic, "AAAA", **elsewhere),
        }
        problem(act[role], 404, "not_found")
        problem(c2.http.post(f"/v1/topics/{topic}/rotate", headers=token(c2, role)), 403, "forbidden")
        assert c2.http.get("/v1/clients", headers=token(c2, role)).status_code == 403


def test_the_same_over_grpc(c2: Served, topic: str) -> None:
    with calling(c2) as call:
        payload = b"over gRPC"  # of equal ones few are protected within a second
        data = call("Topics.Protect", topic=topic, body={"payload": payload}).message
        opened = call("Topics.Unprotect", topic=topic, body={"message": data})
        assert (opened.payload, opened.authenticated) == (payload, False)
        with refused("FAILED_PRECONDITION", "replayed"):
            call("Topics.Unprotect", topic=topic, body={"message": data})


def test_it_is_off_unless_the_settings_say_so(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, suite="sk")) as c2:
        topic = c2.topic("t")
        viewer = token(c2, "viewer")
        acts: dict[str, Callable[..., httpx2.Response]] = {
            "protect": partial(protect, c2, payload=PAYLOAD),
            "unprotect": partial(unprotect, c2, message="AAAA"),
        }
        for setting, act in acts.items():
            assert f"its setting {setting} is false" in problem(act(topic), 403, "switched_off")["detail"]
            problem(act("0" * 32), 403, "switched_off")
            problem(act(topic, **viewer), 403, "forbidden")


def test_to_unprotect_needs_four_eyes_where_the_settings_say_so(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, suite="sk", protect=True, unprotect=True, grpc_port=0)
    with serving(settings) as c2:
        topic = c2.topic("t")
        second = created(c2.http.post("/v1/tokens", json={"name": "second", "grants": ADMIN}))["token"]
        reader = [{"role": "unprotector", "clients": [], "topics": ["t"]}]
        third = created(c2.http.post("/v1/tokens", json={"name": "third", "grants": reader}))["token"]
    with serving(settings.model_copy(update={"four_eyes": True})) as c2:
        data = message(protect(c2, topic))
        identity = needed(unprotect(c2, topic, data))
        assert needed(unprotect(c2, topic, data, **{"E4-Approval": identity})) == identity, "it waits"
        shown = c2.http.get(f"/v1/approvals/{identity}", headers=bearer(third)).json()
        assert (shown["permission"], shown["topics"]) == ("topics:unprotect", ["t"])
        assert json.loads(shown["body"]) == {"message": data}
        assert c2.http.post(f"/v1/approvals/{identity}/approve", headers=bearer(third)).status_code == 200
        opened = unprotect(c2, topic, data, **{"E4-Approval": identity})
        assert b64decode(opened.json()["payload"]) == PAYLOAD
        problem(unprotect(c2, topic, data, **{"E4-Approval": identity}), 403, "not_approved")
        # nobody makes a second self that could approve it
        needed(c2.http.post("/v1/tokens", json={"name": "self", "grants": reader}))
        with calling(c2) as call:
            with refused("PERMISSION_DENIED", "approval_needed") as refusal:
                call("Topics.Unprotect", topic=topic, body={"message": b64decode(data)})
            other = info(refusal.error).metadata["approval"]
            Caller(call.channel, second)("Approvals.Refuse", approval=other)


def needed(answer: httpx2.Response) -> str:
    assert answer.status_code == 403, answer.text
    assert answer.json()["kind"] == "approval_needed"
    return str(answer.json()["approval"])
