# SPDX-License-Identifier: Apache-2.0
"""Behind a balancer each one who asks is a source of their own, and nobody can say to be another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import grpc
import pytest
from starlette.types import Receive, Scope, Send

from e4c2.api.forwarded import Forwarded
from tests.c2.grpc_client import Caller, calling, refused
from tests.c2.served import ADMIN, Served, bearer, created, problem, serving, settings_in

BALANCER, STRANGER, FORGED, OTHER = "127.0.0.1", "203.0.113.7", "198.51.100.1", "2001:db8::7"
TRUSTED = ("10.1.0.0/16", "192.0.2.1", "2001:db8:7::/64")


def source(peer: Any, *headers: str) -> Any:
    """Where a request is taken to come from."""
    return sources_of((peer, headers))[0]


def sources_of(*requests: tuple[Any, Sequence[str]]) -> list[Any]:
    """The same of several to one C2, by their peers and headers."""
    heard: list[Any] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        heard.append(scope["client"])

    forwarded = Forwarded(app, [ip_network(each) for each in TRUSTED])
    for peer, headers in requests:
        sent = [(b"x-forwarded-for", each.encode("latin-1")) for each in headers]
        scope = {"type": "http", "client": peer, "headers": [(b"host", b"c2"), *sent]}
        asyncio.run(forwarded(scope, None, None))  # type: ignore[arg-type]
    return heard


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("10.1.2.3", [STRANGER], STRANGER),
        ("10.1.2.3", [OTHER], OTHER),
        ("2001:db8:7::1", [STRANGER], STRANGER),
        ("::ffff:10.1.2.3", [f"::ffff:{STRANGER}"], STRANGER),
        ("10.1.2.3", [f"{FORGED}, {STRANGER}"], STRANGER),
        ("10.1.2.3", [FORGED, STRANGER], STRANGER),
        ("10.1.2.3", [f"{FORGED},{STRANGER}, 192.0.2.1 ,::ffff:10.1.0.9"], STRANGER),
        ("10.1.2.3", [f"10.1.0.1, {STRANGER}"], STRANGER),
        ("10.1.2.3", ["192.0.2.1, 10.1.0.9"], "192.0.2.1"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", [f"{STRANGER}, unknown"], "10.1.2.3"),
        ("10.1.2.3", [f"{STRANGER}, \xff, 192.0.2.1"], "192.0.2.1"),
        ("10.1.2.3", [f"{STRANGER}:80"], "10.1.2.3"),
    ],
)
def test_the_last_address_that_is_not_trusted_is_the_source(peer: str, headers: list[str], expected: str) -> None:
    assert source((peer, 4711), *headers) == (expected, 4711)


@pytest.mark.parametrize(
    "peer", [STRANGER, "10.2.0.1", "192.0.2.2", "::ffff:192.0.2.2", "2001:db8:8::1", "a socket", ""]
)
def test_nobody_else_is_believed(peer: str) -> None:
    assert source((peer, 0), FORGED) == (peer, 0)
    assert source((peer, 0), f"{FORGED}, 10.1.0.1") == (peer, 0)


def test_who_has_no_address_is_left_so() -> None:
    assert source(None, FORGED) is None


@pytest.mark.parametrize("written", [f"{STRANGER}:80", f"[{OTHER}]:80", "unknown"])
def test_a_balancer_that_writes_what_is_no_address_is_told_once(caplog: pytest.LogCaptureFixture, written: str) -> None:
    balancer = ("10.1.2.3", 4711)
    assert sources_of((balancer, [written]), (balancer, [written])) == [balancer, balancer]
    (warning,) = caplog.messages
    assert "the balancer 10.1.2.3 writes what is no address" in warning
    assert written not in warning


def test_of_a_balancer_that_writes_addresses_or_nothing_and_of_others_nothing_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    balancer = ("10.1.2.3", 4711)
    sources_of((balancer, [f"x, {STRANGER}"]), (balancer, [""]), (balancer, []), ((STRANGER, 1), [f"{FORGED}:80"]))
    assert not caplog.messages


@pytest.fixture
def c2(tmp_path: Path) -> Iterator[Served]:
    with serving(settings_in(tmp_path, failures_per_min=1, grpc_port=0, trusted_proxies=BALANCER)) as served:
        yield served


def passed_on(http: Any, token: str, *told: str) -> Any:
    return http.get("/v1/self", headers={**bearer(token), "X-Forwarded-For": ", ".join(told)})


def token_of(c2: Served, name: str) -> str:
    """One that nobody has shown yet."""
    return str(created(c2.http.post("/v1/tokens", json={"name": name, "grants": ADMIN}))["token"])


def test_a_stranger_behind_a_balancer_locks_out_nobody_else(c2: Served) -> None:
    first, second = token_of(c2, "first"), token_of(c2, "second")
    with c2.stranger() as http:
        problem(passed_on(http, "e4_wrong", STRANGER), 401)
        problem(passed_on(http, "e4_wrong", FORGED, STRANGER), 429, "locked_out")
        problem(passed_on(http, first, STRANGER), 429, "locked_out")
        passed_on(http, first, FORGED).raise_for_status()
        passed_on(http, second, OTHER).raise_for_status()


def test_a_stranger_behind_a_balancer_locks_out_nobody_else_of_grpc(c2: Served) -> None:
    first = token_of(c2, "first")
    with grpc.insecure_channel(c2.started.grpc) as channel:
        wrong, right = Caller(channel, "e4_wrong"), Caller(channel, first)
        with refused("UNAUTHENTICATED"):
            wrong("C2.ShowSelf", ("x-forwarded-for", STRANGER))
        with refused("RESOURCE_EXHAUSTED", "locked_out"):
            wrong("C2.ShowSelf", ("x-forwarded-for", f"{FORGED}, {STRANGER}"))
        with refused("RESOURCE_EXHAUSTED", "locked_out"):
            right("C2.ShowSelf", ("x-forwarded-for", STRANGER))
        assert right("C2.ShowSelf", ("x-forwarded-for", FORGED)).name == "first"


def test_without_the_setting_the_header_is_nothing(tmp_path: Path) -> None:
    with serving(settings_in(tmp_path, failures_per_min=1, grpc_port=0)) as c2:
        first = token_of(c2, "first")
        with c2.stranger() as http:
            problem(passed_on(http, "e4_wrong", STRANGER), 401)
            problem(passed_on(http, first, OTHER), 429, "locked_out")
        with grpc.insecure_channel(c2.started.grpc) as channel, refused("RESOURCE_EXHAUSTED", "locked_out"):
            Caller(channel, first)("C2.ShowSelf", ("x-forwarded-for", OTHER))
        c2.http.post("/v1/topics", json={"name": "t"}, headers={"X-Forwarded-For": STRANGER})
        assert sources(c2) == {BALANCER}


def test_the_audit_log_has_who_asked_the_balancer(c2: Served) -> None:
    created(c2.http.post("/v1/topics", json={"name": "http"}, headers={"X-Forwarded-For": f"{FORGED}, {STRANGER}"}))
    with calling(c2) as call:
        call("Topics.Create", ("x-forwarded-for", f"{FORGED}, {OTHER}"), body={"name": "grpc"})
    assert sources(c2) == {STRANGER, OTHER}


def sources(c2: Served) -> set[str]:
    """Where the topics come from."""
    records = c2.http.get("/v1/audit", params={"action": "topics_create"}).json()["items"]
    return {record["source"] for record in records}
