# SPDX-License-Identifier: Apache-2.0
"""Every route with every role: nobody changes or learns what their role or their patterns do not let them."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from fastapi.routing import APIRoute

from e4c2.api.http import ROUTERS
from e4core.plugins import load_suite
from tests.c2.served import ADMIN, Served, b64, bearer, created, device_key, operation, problem, serving, settings_in
from tests.places import database_file

ROLES = {"V": "viewer", "O": "operator", "K": "key-admin", "A": "auditor", "E": "enroller", "*": "admin"}
ROLES |= {"P": "protector", "U": "unprotector"}
OPEN = {"GET /v1/health", "GET /v1/ready", "GET /livez", "GET /readyz"}
APART = {
    "POST /v1/recovery/compare",
    *("GET /v1/enrol", "POST /v1/enrol"),
}
"""Routes with tests of their own: those for enrolment tokens, and one that takes a signed checkpoint."""


class May(NamedTuple):
    """Who may: letters of `ROLES`, beside the admin.

    ``over``: what it is about: ``object``: those in its path or body; ``new``: one that is to be; ``each``: many of these,
    answered one by one; ``seen``: a list; ``fleet``: all; ``anybody``: nothing that patterns are over; ``stream``.
    """

    roles: str
    over: str
    body: dict[str, Any] | None = None


EVERYBODY = "VOKAE"
READERS = EVERYBODY + "PU"
"""Of topics."""
DEK = "/v1/kms/deks/{purpose}/{version}"
PLANS = "/v1/topics/{topic}/plans"
AT = {"uri": "file:kek.json"}
NEW_ENROLMENT = {"name": "new", "clients": "plant/*", "topics": ["plant/topic0"], "uses": 1, "lifetime_s": 3600.0}
EXPECTED = {
    "GET /metrics": May("VOKA", "fleet"),
    "GET /v1/self": May(READERS, "anybody"),
    "GET /v1/recovery": May(EVERYBODY, "seen"),
    "POST /v1/recovery/confirm": May("K", "fleet", {"backup": "0" * 32}),
    "GET /v1/audit": May("A", "fleet"),
    "GET /v1/audit/log": May("A", "fleet"),
    "GET /v1/audit/checkpoints": May("A", "fleet"),
    "GET /v1/audit/verification": May("A", "fleet"),
    "POST /v1/audit/prune": May("", "fleet", {"before": 0.0}),
    "GET /v1/c2": May(EVERYBODY, "anybody"),
    "GET /v1/c2/health": May(EVERYBODY, "fleet"),
    "GET /v1/key-changes": May(EVERYBODY, "seen"),
    "GET /v1/c2/laggards": May(EVERYBODY, "seen"),
    "POST /v1/c2/key": May("K", "fleet", {"reason": "routine"}),
    "POST /v1/c2/key/abort": May("K", "fleet"),
    "POST /v1/c2/key/finish": May("K", "fleet", {"force": True}),
    "POST /v1/clients": May("OE", "new", {"name": "plant/new", "key": "{key}"}),
    "POST /v1/clients/batch": May("OE", "each", {"items": [{"name": "plant/new", "key": "{key}"}]}),
    "POST /v1/clients/batch/remove": May("O", "each", {"clients": ["{client}"]}),
    "GET /v1/clients": May(EVERYBODY, "seen"),
    "GET /v1/clients/{client}": May(EVERYBODY, "object"),
    "DELETE /v1/clients/{client}": May("O", "object"),
    "GET /v1/clients/{client}/topics": May(EVERYBODY, "object"),
    "GET /v1/clients/{client}/holdings": May(EVERYBODY, "object"),
    "POST /v1/clients/{client}/key": May("OK", "object", {"reason": "compromised"}),
    "POST /v1/clients/{client}/key/confirm": May("OK", "object"),
    "POST /v1/clients/{client}/key/cancel": May("OK", "object"),
    "POST /v1/clients/{client}/c2-key/confirm": May("OK", "object"),
    "POST /v1/clients/{client}/enrol": May("OE", "object", {"key": "{key}"}),
    "POST /v1/clients/{client}/reset": May("O", "object"),
    "GET /v1/clients/{client}/links": May(EVERYBODY, "object"),
    "POST /v1/clients/{client}/links": May("O", "object", {"peer": "{peer}"}),
    "DELETE /v1/clients/{client}/links": May("O", "object"),
    "DELETE /v1/clients/{client}/links/{peer}": May("O", "object"),
    "POST /v1/topics": May("O", "new", {"name": "plant/new"}),
    "POST /v1/topics/batch": May("O", "each", {"items": [{"name": "plant/new"}]}),
    "GET /v1/topics": May(READERS, "seen"),
    "GET /v1/topics/{topic}": May(READERS, "object"),
    "PATCH /v1/topics/{topic}": May("OK", "object", {"revoke_within_s": 9.0}),
    "DELETE /v1/topics/{topic}": May("O", "object"),
    "POST /v1/topics/{topic}/rotate": May("OK", "object"),
    "GET /v1/topics/{topic}/laggards": May(READERS, "object"),
    "GET /v1/topics/{topic}/evicted": May(READERS, "object"),
    "GET /v1/topics/{topic}/changes": May(READERS, "object"),
    "GET /v1/topics/{topic}/members": May(READERS, "object"),
    "POST /v1/topics/{topic}/members": May("OE", "object", {"clients": ["{peer}"]}),
    "POST /v1/topics/{topic}/members/batch": May("OE", "object", {"clients": ["{peer}"]}),
    "POST /v1/topics/{topic}/evict": May("O", "object", {"clients": ["{client}"]}),
    f"POST {PLANS}": May("OK", "object", {}),
    f"GET {PLANS}": May(READERS, "object"),
    f"GET {PLANS}/{{plan}}": May(READERS, "object"),
    f"POST {PLANS}/{{plan}}/activate": May("OK", "object", {"force": False}),
    f"POST {PLANS}/{{plan}}/abort": May("OK", "object"),
    "GET /v1/events": May(EVERYBODY, "seen"),
    "GET /v1/events/stream": May(EVERYBODY, "stream"),
    "POST /v1/webhooks": May("", "fleet", {"name": "new", "url": "http://127.0.0.1:9/", "kinds": []}),
    "GET /v1/webhooks": May("KA", "fleet"),
    "GET /v1/webhooks/{webhook}": May("KA", "fleet"),
    "PATCH /v1/webhooks/{webhook}": May("", "fleet", {"url": "http://127.0.0.1:9/", "kinds": []}),
    "POST /v1/webhooks/{webhook}/resume": May("", "fleet"),
    "POST /v1/webhooks/{webhook}/test": May("", "fleet"),
    "DELETE /v1/webhooks/{webhook}": May("", "fleet"),
    "GET /v1/commands": May(EVERYBODY, "seen"),
    "POST /v1/commands/{command}/retry": May("O", "object"),
    "GET /v1/operations/{operation}": May(EVERYBODY, "object"),
    "POST /v1/tokens": May("", "new", {"name": "new", "grants": ADMIN}),
    "POST /v1/enrolments": May("OE", "new", NEW_ENROLMENT),
    "GET /v1/enrolments": May(EVERYBODY, "seen"),
    "GET /v1/enrolments/{enrolment}": May(EVERYBODY, "object"),
    "DELETE /v1/enrolments/{enrolment}": May("OE", "object"),
    "POST /v1/topics/{topic}/protect": May("P", "object", {"payload": "AAAA"}),
    "POST /v1/topics/{topic}/unprotect": May("U", "object", {"message": "{message}"}),
    "GET /v1/approvals": May(READERS, "seen"),
    "GET /v1/approvals/{approval}": May(READERS, "object"),
    "POST /v1/approvals/{approval}/approve": May("OKU", "object"),
    "POST /v1/approvals/{approval}/refuse": May("OKU", "object"),
    "GET /v1/tokens": May("A", "seen"),
    "GET /v1/tokens/{token}": May("A", "object"),
    "DELETE /v1/tokens/{token}": May("", "object"),
    "POST /v1/identities": May(
        "", "new", {"name": "new", "found_by": "san", "value": "dns:a.example", "grants": ADMIN}
    ),
    "GET /v1/identities": May("A", "seen"),
    "GET /v1/identities/{identity}": May("A", "object"),
    "DELETE /v1/identities/{identity}": May("", "object"),
    "GET /v1/kms": May("KA", "fleet"),
    "GET /v1/kms/providers": May("KA", "fleet"),
    "GET /v1/kms/rows": May("KA", "fleet"),
    f"POST {DEK}/rotate": May("K", "fleet"),
    f"POST {DEK}/retire": May("K", "fleet"),
    f"POST {DEK}/wraps": May("K", "fleet", AT),
    f"POST {DEK}/wraps/remove": May("K", "fleet", AT),
    f"POST {DEK}/wraps/rewrap": May("K", "fleet", AT),
    f"POST {DEK}/wraps/check": May("K", "fleet", AT),
}
"""Route -> who may, written by hand: a new route is not served until it is named here."""
SUITES = ("pk", "fips-pk")
"""Of Format 1, and of Format 2, in which topics have plans."""
ONE = pytest.mark.parametrize("scene", SUITES[:1], indirect=True)
ID = re.compile("[0-9a-f]{32}")
REMOVES = re.compile("^DELETE|/remove$|/evict$")
WORKS_BY_ITSELF = {"command_sequence", "event", "ledger", "ledger_change", "replica", "sqlite_sequence"}
"""Tables that change while a C2 delivers what was ordered before."""
COUNTED = {"operation": "id", "outbox": "id", "topic_change": "id", "planned": "id"}
"""Tables -> what does not change then."""


class Scene:
    """A C2 with objects below ``plant/``, one client elsewhere that has to do with all of them, and tokens of all kinds."""

    def __init__(self, c2: Served, http: httpx2.Client) -> None:
        self.c2, self._http = c2, http
        self.suite = load_suite(c2.settings.suite)
        self._numbers = count()
        self.whole = {letter: self.token(role, "*") for letter, role in ROLES.items()}
        self.elsewhere = {letter: self.token(role, "other/*") for letter, role in ROLES.items()}
        self.elsewhere_client = c2.client("other/client", suite=self.suite)
        self.ids = self.objects()

    def token(self, role: str | None, pattern: str = "*", **other: Any) -> str:
        grants = [{"role": role, "clients": [pattern], "topics": [pattern]}] if role else []
        made = created(self.c2.http.post("/v1/tokens", json={"name": f"{role}", "grants": grants, **other}))
        return str(made["token"])

    def objects(self) -> dict[str, str]:
        """Ids of fresh ones, and other values that paths and bodies take."""
        n = next(self._numbers)
        client, peer = (self.c2.client(f"plant/{who}{n}", suite=self.suite) for who in ("client", "peer"))
        topic = self.c2.topic(f"plant/topic{n}", client, self.elsewhere_client)
        for holder in (client, self.elsewhere_client):
            operation(self.c2.http.post(f"/v1/clients/{holder}/links", json={"peer": peer}))
        token = created(self.c2.http.post("/v1/tokens", json={"name": "one", "grants": ADMIN}))["id"]
        named = {"name": "one", "found_by": "san", "value": f"dns:{n}.example", "grants": ADMIN}
        identity = created(self.c2.http.post("/v1/identities", json=named))["id"]
        enrolment = created(self.c2.http.post("/v1/enrolments", json={**NEW_ENROLMENT, "name": "one"}))["id"]
        rotated = self.c2.http.post(f"/v1/topics/{topic}/rotate").json()["id"]
        planned = self.c2.http.post(f"/v1/topics/{topic}/plans", json={})
        assert planned.is_success is (self.suite.format == 2)
        (command, *_) = self.c2.http.get("/v1/commands", params={"client": client}).json()["items"]
        known = {
            "client": client,
            "peer": peer,
            "topic": topic,
            "token": token,
            "identity": identity,
            "enrolment": enrolment,
            "operation": rotated,
            "command": str(command["id"]),
        }
        return {
            **known,
            "purpose": "audit",
            "version": "1",
            "plan": planned.json().get("id", "0" * 32),
            "approval": "0" * 32,
            "webhook": "0" * 32,
            "message": b64(bytes(120)),
            "key": b64(device_key(self.suite)),
        }

    def ask(self, token: str | None, route: str, ids: dict[str, str]) -> httpx2.Response:
        method, path = route.split(" ")
        content = EXPECTED[route].body
        body = None if content is None else filled(content, ids)
        headers = bearer(token) if token else {}
        with self._http.stream(method, filled(path, ids), json=body, headers=headers) as answer:
            if answer.headers.get("content-type", "").partition(";")[0] != "text/event-stream":  # which has no end
                answer.read()
        return answer

    @property
    def hidden(self) -> set[str]:
        """Ids of what is below ``plant/``, or reaches beyond what is elsewhere."""
        return {value for value in self.ids.values() if ID.fullmatch(value)} - {"0" * 32}

    def rows(self) -> dict[str, list[Any]]:
        """All that a request could change."""
        with sqlite3.connect(database_file(self.c2.settings)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            kept = [name for name in names if name not in WORKS_BY_ITSELF and not name.startswith("audit")]
            return {each: sorted(db.execute(f"SELECT {COUNTED.get(each, '*')} FROM {each}"), key=repr) for each in kept}


def filled(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], value)
    if isinstance(value, list):
        return [filled(each, ids) for each in value]
    return {name: filled(each, ids) for name, each in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module", params=SUITES)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    settings = settings_in(
        tmp_path_factory.mktemp("c2"), suite=request.param, failures_per_min=10_000, protect=True, unprotect=True
    )
    with serving(settings) as served, served.stranger() as http:
        yield Scene(served, http)


def test_every_route_is_named_here() -> None:
    routes = [route for router in ROUTERS for route in router.routes]
    assert all(isinstance(route, APIRoute) for route in routes)
    served = {
        f"{method} {route.path}" for route in routes if isinstance(route, APIRoute) for method in route.methods or ()
    }
    assert served - OPEN - APART == set(EXPECTED)


@ONE
def test_who_may_not_is_refused_and_changes_and_learns_nothing(scene: Scene) -> None:
    nobody, before = scene.token(None), scene.rows()
    for route, may in EXPECTED.items():
        for letter in set(ROLES) - {*may.roles, "*"}:
            _forbidden(scene.ask(scene.whole[letter], route, scene.ids), route, letter)
        _forbidden(scene.ask(nobody, route, scene.ids), route, "no grant")
    assert scene.rows() == before


@ONE
def test_who_is_not_known_is_refused_and_changes_and_learns_nothing(scene: Scene) -> None:
    expired = scene.token("admin", lifetime_s=0.001)
    before = scene.rows()
    for route in EXPECTED:
        told = {scene.ask(token, route, scene.ids).content for token in (None, expired, "e4_" + "A" * 43)}
        assert len(told) == 1, route
        problem(scene.ask(expired, route, scene.ids), 401, "unauthenticated")
    assert scene.rows() == before


def test_what_is_outside_of_the_patterns_is_as_if_it_was_not_there(scene: Scene) -> None:
    before = scene.rows()
    absent = {name: os.urandom(16).hex() if len(value) == 32 else value for name, value in scene.ids.items()}
    for route, may in EXPECTED.items():
        for letter in (*may.roles, "*"):
            answer = scene.ask(scene.elsewhere[letter], route, scene.ids)
            if may.over in ("new", "fleet"):
                _forbidden(answer, route, letter)
            elif may.over == "object":
                problem(answer, 404, "not_found")
                there = scene.ask(scene.elsewhere[letter], route, absent).text
                assert _without_ids(answer.text) == _without_ids(there), route
            else:
                assert answer.status_code == 200, (route, letter, answer.text)
                if may.over == "stream":
                    continue
                if may.over == "each":
                    assert {each["status"] for each in answer.json()["results"]} <= {403, 404}, (route, answer.text)
                assert "plant/" not in answer.text
                told = {*ID.findall(answer.text)} & scene.hidden
                assert not told or may.over == "each", (
                    route,
                    letter,
                    [name for name, value in scene.ids.items() if value in told],
                )
    assert scene.rows() == before


def test_how_many_there_are_is_told_to_who_sees_all(scene: Scene) -> None:
    for letter in EVERYBODY:
        for token, are_told in ((scene.whole[letter], True), (scene.elsewhere[letter], False)):
            shown = scene.ask(token, "GET /v1/recovery", scene.ids).json()
            counts = [shown[name] for name in ("clients", "topics", "memberships", "links")]
            assert all(counts) if are_told else counts == [None] * 4, letter


@ONE
def test_who_may_is_let_through(scene: Scene) -> None:
    for route, may in EXPECTED.items():
        for letter in (*may.roles, "*"):
            ids = scene.objects() if REMOVES.search(route) else scene.ids
            answer = scene.ask(scene.whole[letter], route, ids)
            assert answer.is_success or answer.status_code in (404, 409), (route, letter, answer.status_code)
            absent = may.over == "fleet" or "{plan}" in route or "{approval}" in route
            assert answer.status_code != 404 or absent, (route, letter, answer.text)


def _forbidden(answer: httpx2.Response, route: str, who: str) -> None:
    assert answer.status_code == 403, (route, who, answer.text)
    assert "plant/" not in problem(answer, 403, "forbidden")["detail"]


def _without_ids(text: str) -> str:
    return ID.sub("ID", text)


def test_what_is_shown_of_lists_fills_pages(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path)) as c2:
        ids = {name: c2.client(name) for name in ("a/1", "b/1", "b/2", "c", "d/1", "d/2", "e")}
        for name in ("b/t", "d/t", "x"):
            c2.topic(name, *ids.values())
        grants = [{"role": "viewer", "clients": ["b/*", "e"], "topics": ["d/*"]}]
        token = created(c2.http.post("/v1/tokens", json={"name": "some", "grants": grants}))["token"]
        with c2.stranger(token) as http:
            first = http.get("/v1/clients", params={"limit": 2}).json()
            rest = http.get("/v1/clients", params={"limit": 2, "cursor": first["next"]}).json()
            assert [[each["name"] for each in page["items"]] for page in (first, rest)] == [["b/1", "b/2"], ["e"]]
            assert rest["next"] is None
            (topic,) = http.get("/v1/topics").json()["items"]
            members = http.get(f"/v1/topics/{topic['id']}/members").json()["items"]
            assert [each["name"] for each in members] == ["b/1", "b/2", "e"]
            assert [each["name"] for each in http.get(f"/v1/clients/{ids['e']}/topics").json()["items"]] == ["d/t"]
            commands = http.get("/v1/commands").json()["items"]
            assert {(each["client"], each["object"]) for each in commands} == {
                (name, topic["id"]) for name in ("b/1", "b/2", "e")
            }
            for params in ({"name": "c"}, {"name": "none"}):
                assert http.get("/v1/clients", params=params).json() == {"items": [], "next": None}
            assert http.get("/v1/self").json()["grants"] == grants
