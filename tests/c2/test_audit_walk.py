# SPDX-License-Identifier: Apache-2.0
"""Every route that changes something, done and refused: each leaves its record in the audit log."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import httpx2

from tests.c2.served import serving, settings_in
from tests.c2.test_api_permissions import EXPECTED, REMOVES, Scene
from tests.c2.test_api_permissions import scene as scene_fixture

__all__ = ["scene"]

scene = scene_fixture
CHANGING = [route for route in EXPECTED if not route.startswith("GET ") and not route.endswith("/check")]
"""All but one that only asks a KMS."""
ONLY_REFUSED = {
    "POST /v1/approvals/{approval}/approve",
    "POST /v1/approvals/{approval}/refuse",
    "POST /v1/audit/prune",
    "POST /v1/c2/key/finish",
    "POST /v1/clients/{client}/c2-key/confirm",
    "POST /v1/clients/{client}/key/cancel",
    "POST /v1/clients/{client}/key/confirm",
    "POST /v1/commands/{command}/retry",
    "POST /v1/kms/deks/{purpose}/{version}/wraps",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/remove",
    "POST /v1/kms/deks/{purpose}/{version}/wraps/rewrap",
    "POST /v1/recovery/confirm",
    "POST /v1/topics/{topic}/plans",
    "POST /v1/topics/{topic}/plans/{plan}/abort",
    "POST /v1/topics/{topic}/plans/{plan}/activate",
    "POST /v1/topics/{topic}/protect",
    "POST /v1/topics/{topic}/unprotect",
}
"""What needs more than there is here to be done."""
ONLY_DONE = {
    "POST /v1/clients/batch",
    "POST /v1/clients/batch/remove",
    "POST /v1/enrolments",
    "POST /v1/tokens",
    "POST /v1/topics/batch",
}
WEBHOOK = {"name": "hook", "url": "http://127.0.0.1:9/"}


def prepared(scene: Scene) -> dict[str, str]:
    """Fresh objects; a webhook too."""
    http = scene.c2.http
    ids = scene.objects()
    made = http.post("/v1/webhooks", json={**WEBHOOK, "name": os.urandom(8).hex()})
    return {**ids, "webhook": made.json()["id"]}


def told(scene: Scene, since: float, answer: httpx2.Response) -> list[dict[str, Any]]:
    """What the log has of a request."""
    items = scene.c2.http.get("/v1/audit", params={"limit": 1000, "since": since}).json()["items"]
    return [each for each in items if each["request"] == answer.headers["x-request-id"]]


def outcomes(answer: httpx2.Response) -> set[str]:
    """Of the request, or of each of the many that it is about."""
    if not answer.is_success:
        return {str(answer.json()["kind"])}
    results = answer.json().get("results", [{}]) if answer.content else [{}]
    return {each["problem"]["kind"] if each.get("problem") else "done" for each in results}


def test_each_change_and_each_refusal_is_on_record(scene: Scene) -> None:
    """By an admin, once as it should be and once about what is not there."""
    lacking: list[tuple[str, int, list[dict[str, Any]]]] = []
    done: set[str] = set()
    refused: set[str] = set()
    shared = prepared(scene)
    for route in CHANGING:
        ids = prepared(scene) if REMOVES.search(route) else shared
        absent = {name: os.urandom(16).hex() if len(value) == 32 else value for name, value in ids.items()}
        absent |= {"purpose": "records", "version": "9", "command": str(2**40)}
        for of in (ids, absent):
            begun = time.time() - 1
            answer = scene.ask(scene.whole["*"], route, of)
            records = told(scene, begun, answer)
            (done if "done" in outcomes(answer) else refused).add(route)
            if {each["outcome"] for each in records} != outcomes(answer) or {
                each["principal"].partition(" ")[2] for each in records
            } != {"admin"}:
                lacking.append((route, answer.status_code, records))
    assert lacking == []
    assert set(CHANGING) - done <= ONLY_REFUSED
    assert set(CHANGING) - refused <= ONLY_DONE


def test_who_may_not_is_counted_for_each_route(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, suite="pk", protect=True, unprotect=True)
    with serving(settings) as c2, c2.stranger() as http:
        scene = Scene(c2, http)
        nobody = scene.token(None)
        assert {scene.ask(nobody, route, scene.ids).status_code for route in CHANGING} == {403}
    with serving(settings) as c2:
        query = {"action": "refused", "outcome": "forbidden"}
        counted = c2.http.get("/v1/audit", params=query).json()["items"]
    assert sum(each["count"] for each in counted) == len(CHANGING)
    assert len({each["objects"][0] for each in counted}) == len(CHANGING)
