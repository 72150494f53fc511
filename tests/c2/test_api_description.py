# SPDX-License-Identifier: Apache-2.0
"""The API keeps to its own description (OpenAPI 3.1), whatever is asked: requests made up from it, to a C2 that is served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from e4core.plugins import load_suite
from tests.c2.served import PATIENCE_S, Served, b64, bearer, device_key, serving, settings_in

EXAMPLES = 3
"""Requests to each route with a token, which may do everything."""
ENDLESS = "/v1/events/stream"
"""Its answer does not end; what it sends has tests of its own."""
OPEN = {"/v1/health", "/v1/ready"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_GIVEN = settings(
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

KEYS = [b64(device_key(load_suite("pk"))) for _ in range(8)]


@dataclass
class Api:
    """A C2 with a fleet; ``here`` gives ids of another client and another topic each time, ``seen`` are all answers."""

    served: Served
    schema: Any
    clients: list[str]
    topics: list[str]
    seen: dict[str, set[int]]
    turns: Iterator[int]

    def here(self) -> dict[str, Any]:
        turn = next(self.turns)
        client, peer = self.clients[turn % len(self.clients)], self.clients[(turn + 1) % len(self.clients)]
        return {
            "client": client,
            "peer": peer,
            "clients": [client, peer],
            "topic": self.topics[turn % len(self.topics)],
            "version": 1,
        }


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    schemathesis.openapi.format("byte", st.sampled_from(KEYS))
    with serving(settings_in(tmp_path_factory.mktemp("pk"), suite="pk")) as served:
        document = served.http.get("/v1/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        made = {
            kind: [
                each["item"]["id"]
                for each in served.http.post(f"/v1/{kind}/batch", json={"items": items}).json()["results"]
            ]
            for kind, items in (
                ("clients", [{"name": f"client {i}", "key": KEYS[0]} for i in range(300)]),
                ("topics", [{"name": f"topic {i}"} for i in range(150)]),
            )
        }
        yield Api(served, schema, made["clients"], made["topics"], {}, count())


def operations(api: Api) -> list[Any]:
    """Those that change nothing first, and last what may suspend all clients."""
    found = [each.ok() for each in api.schema.get_all_operations()]
    order = ["GET", "PATCH", "POST", "DELETE"]
    asked = [each for each in found if each.path != ENDLESS]
    return sorted(asked, key=lambda each: (each.path == "/v1/c2/key", order.index(each.method.upper())))


def test_the_description_is_valid_openapi(api: Api) -> None:
    assert api.schema.raw_schema["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(api.schema.raw_schema).validate()


def test_answers_are_as_described(api: Api) -> None:
    with requests.Session() as http:
        http.headers.update(bearer(api.served.token))
        for operation in operations(api):
            _ask(api, operation, http)
    wrong = {route: codes for route, codes in api.seen.items() if codes <= {400, 401, 405, 500}}
    assert not wrong
    done = {route for route, codes in api.seen.items() if min(codes) < 300}
    assert len(done) > len(api.seen) / 2, sorted(api.seen.keys() - done)


def test_strangers_are_told_nothing_whatever_they_ask(api: Api) -> None:
    with requests.Session() as http:
        for operation in operations(api):
            known = 200 if operation.path in OPEN else 401
            assert _ask_once(api, operation, http) == known, operation.label


def _ask(api: Api, operation: Any, http: requests.Session) -> None:
    @settings(_GIVEN, max_examples=EXAMPLES)
    @given(operation.as_strategy(), st.sampled_from([True, True, False]))
    def ask(case: Any, known: bool) -> None:
        if known:
            _name_what_is_there(case, api.here())
        api.seen.setdefault(operation.label, set()).add(_answer(api, case, http))

    ask()


def _ask_once(api: Api, operation: Any, http: requests.Session) -> int:
    codes: list[int] = []

    @settings(_GIVEN, max_examples=1)
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        codes.append(_answer(api, case, http))

    ask()
    return codes[-1]


def _answer(api: Api, case: Any, http: requests.Session) -> int:
    answer = case.call(base_url=api.served.started.url, session=http, timeout=PATIENCE_S)
    case.validate_response(answer, checks=CHECKS)
    success = {code for code in case.operation.definition.raw["responses"] if code != "default"}
    assert answer.status_code >= 400 or str(answer.status_code) in success, (case.operation.label, answer.status_code)
    return int(answer.status_code)


def _name_what_is_there(case: Any, here: dict[str, Any]) -> None:
    for place in (case.path_parameters, case.body):
        if isinstance(place, dict):
            place.update({name: value for name, value in here.items() if name in place})
