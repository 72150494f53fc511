# SPDX-License-Identifier: Apache-2.0
"""Every method of gRPC with every role, by the table of the routes: who is refused over HTTP is refused here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from e4c2.grpc.description import Rpc, services
from tests.c2.grpc_client import Caller, calling
from tests.c2.served import PATIENCE_S, serving, settings_in
from tests.c2.test_api_permissions import APART, EXPECTED, OPEN, ROLES, Scene, filled


def route_of(rpc: Rpc) -> str:
    return f"{rpc.verb} {rpc.path}"


RPCS = {
    f"{rpc.service.removeprefix('e4.v1.').removesuffix('Service')}.{rpc.name}": rpc
    for of in services().values()
    for rpc in of.values()
}
METHODS = {name: rpc for name, rpc in RPCS.items() if route_of(rpc) not in OPEN | APART}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("c2")
    settings = settings_in(folder, suite="pk", failures_per_min=10_000, protect=True, unprotect=True, grpc_port=0)
    with serving(settings) as served, served.stranger() as http:
        yield Scene(served, http)


def code(scene: Scene, call: Caller, name: str) -> str:
    """How a call ends, of which the first message is enough."""
    rpc = RPCS[name]
    body = EXPECTED[route_of(rpc)].body
    given = {"body": body} if body is not None and "body" in rpc.request.DESCRIPTOR.fields_by_name else {}
    fields = {each: f"{{{each}}}" for each in rpc.request.DESCRIPTOR.fields_by_name if f"{{{each}}}" in rpc.path}
    request = ParseDict(filled({**fields, **given}, scene.ids), rpc.request())
    try:
        answer = call.method(name)(
            iter([request]) if rpc.takes_many else request, metadata=call.metadata(), timeout=PATIENCE_S
        )
        if rpc.gives_many:
            next(answer)
            answer.cancel()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def test_who_may_not_is_refused_over_grpc_too_and_changes_nothing(scene: Scene) -> None:
    nobody = scene.token(None)
    with calling(scene.c2) as admin:
        before = scene.rows()
        for name, rpc in METHODS.items():
            may = EXPECTED[route_of(rpc)]
            assert code(scene, Caller(admin.channel, None), name) == "UNAUTHENTICATED", name
            assert code(scene, Caller(admin.channel, nobody), name) == "PERMISSION_DENIED", name
            for letter in set(ROLES) - {*may.roles, "*"}:
                assert code(scene, Caller(admin.channel, scene.whole[letter]), name) == "PERMISSION_DENIED", (
                    name,
                    letter,
                )
            for letter in (*may.roles, "*"):
                told = code(scene, Caller(admin.channel, scene.elsewhere[letter]), name)
                assert told == {"object": "NOT_FOUND", "new": "PERMISSION_DENIED", "fleet": "PERMISSION_DENIED"}.get(
                    may.over, "OK"
                ), (name, letter)
        assert scene.rows() == before


def test_every_route_that_is_walked_has_a_method() -> None:
    assert {route_of(rpc) for rpc in METHODS.values()} == {route for route in EXPECTED if " /v1/" in route}
