# SPDX-License-Identifier: Apache-2.0
"""Traces, as a real collector gets them: of requests, what they need, and what the C2 does by itself; and none unless wanted."""

from __future__ import annotations

import asyncio
import gzip
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from e4c2.settings import Settings
from e4c2.telemetry.otel import CLOSE_S
from e4core.errors import PluginError
from e4core.keys import ClientId, report_topic
from e4core.plugins import load_transport
from tests.c2.grpc_client import calling
from tests.c2.receiver import Receiver, receiving
from tests.c2.served import PATIENCE_S, Served, serving, settings_in
from tests.servers import free_port

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
ERROR = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """A span, as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


def seen(collector: Receiver) -> list[Seen]:
    told = []
    for headers, body in collector.got:
        request = ExportTraceServiceRequest()
        request.ParseFromString(gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body)
        for each in request.resource_spans:
            resource = values(each.resource.attributes)
            for span in (span for scope in each.scope_spans for span in scope.spans):
                ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                told.append(Seen(span.name, *ids, span.status.code, values(span.attributes), resource))
                assert not span.events
                assert not span.status.message
    return told


def values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def until(seen_it: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not seen_it():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def report(c2: Served, client: str) -> None:
    """One that nobody made."""

    async def story() -> None:
        async with load_transport(c2.settings.broker, "anybody") as link:
            await link.publish(report_topic(ClientId.fromhex(client)), b"\2\2" + os.urandom(60), 1)

    asyncio.run(story())


def test_a_collector_gets_a_trace_of_each_thing_that_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    with receiving() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.partition("/hook")[0])
        url = collector.url.partition("?")[0]
        with serving(settings_in(tmp_path, traces_to=url, grpc_port=0)) as c2:
            lamp = c2.client("secret-name-of-a-lamp")
            c2.topic("secret-name-of-a-topic", lamp)
            until(lambda: c2.started and b"sent" in c2.http.get("/v1/commands").content)
            answer = c2.http.get(f"/v1/clients/{lamp}?x=1", headers={"traceparent": TRACEPARENT, "X-Request-Id": "r-1"})
            assert answer.status_code == 422
            c2.http.get(f"/v1/clients/{lamp}", headers={"traceparent": TRACEPARENT})
            with calling(c2) as call:
                call("Clients.Show", ("traceparent", TRACEPARENT), client=lamp)
            c2.http.get("/v1/topics", headers={"traceparent": "secret-of-who-asks", "tracestate": "secret=of-who-asks"})
            report(c2, lamp)
            until(lambda: "e4_reports_refused_total{" in c2.http.get("/metrics").text)
        spans = seen(collector)
        everything = b"".join(body for _, body in collector.got)

    mine = [span for span in spans if span.trace == TRACE]
    requests = [span for span in mine if span.parent == CALLER]
    assert {span.name for span in requests} == {"GET /v1/clients/{client}"}
    assert [span.attributes["http.response.status_code"] for span in requests] == [422, 200, 200]
    assert requests[0].attributes["e4.request_id"] == "r-1"
    for request in requests[1:]:
        parts = [span for span in mine if span.parent == request.id]
        assert [span.name for span in parts] == ["transaction read", "transaction read"]

    by_name = {span.name: span for span in spans}
    changed = by_name["POST /v1/topics"]
    assert [s.name for s in spans if s.parent == changed.id and s.name == "transaction write"] == ["transaction write"]
    assert by_name["publish"].attributes["e4.publications"] >= 1
    assert by_name["publish"].attributes["e4.publications_failed"] == 0
    assert by_name["reports"].attributes == {"e4.reports": 1, "e4.reports_refused": 1}
    taken = [span for span in spans if span.parent == by_name["reports"].id]
    assert [span.name for span in taken] == ["transaction write"]
    assert {name for name in by_name if name.startswith("kms")} >= {"kms 1 file open", "kms 1 file wrap"}
    roots = {span.name for span in spans if not span.parent}
    assert not [name for name in roots if name.startswith("transaction")]
    assert {span.resource["service.name"] for span in spans} == {"e4-c2"}
    for hidden in (b"secret", lamp.encode(), c2.token.encode() if c2.settings.admin_token_file.exists() else b"e4_"):
        assert hidden not in everything


def test_what_follows_the_events_for_long_is_no_endless_trace(tmp_path: Path) -> None:
    with receiving() as collector:
        url = collector.url.partition("?")[0]
        with (
            serving(settings_in(tmp_path, traces_to=url)) as c2,
            c2.stranger(c2.token) as http,
            http.stream("GET", "/v1/events/stream") as stream,
        ):
            lines = stream.iter_lines()
            next(lines)
            for name in "ab":
                c2.topic(name)
                while f'"topic":"{name}"' not in next(lines):
                    pass
        spans = seen(collector)
    followed = next(span for span in spans if span.name == "GET /v1/events/stream")
    assert followed.attributes["http.response.status_code"] == 200
    assert len([span for span in spans if span.trace == followed.trace]) < 6


def test_a_collector_that_is_away_is_told_once_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with caplog.at_level(logging.WARNING, logger="opentelemetry"):
        with serving(settings_in(tmp_path, traces_to=f"http://127.0.0.1:{free_port()}/v1/traces")) as c2:
            for _ in range(5):
                assert c2.http.get("/v1/topics").status_code == 200
                time.sleep(0.4)
            begun = time.monotonic()
        assert time.monotonic() - begun < CLOSE_S + 5
    assert len(caplog.records) == 1
    assert "spans" in caplog.text


def test_a_failure_is_one_of_the_span(tmp_path: Path) -> None:
    with receiving() as collector:
        url = collector.url.partition("?")[0]
        with serving(settings_in(tmp_path, traces_to=url)) as c2:
            c2.http.get("/v1/topics/" + "0" * 32)
        spans = seen(collector)
    read = [span for span in spans if span.attributes.get("e4.outcome") == "refused"]
    assert [span.name for span in read] == ["transaction read"]
    assert not [span for span in spans if span.status == ERROR]


_LOADED = (
    "import sys, e4c2.app; print([name for name in sys.modules if 'opentelemetry.sdk' in name or '.otel' in name])"
)


def test_nothing_of_it_is_loaded_unless_it_is_wanted() -> None:
    shown = subprocess.run([sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_a_lack_of_the_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "e4c2.telemetry.otel", None)
    with (
        pytest.raises(PluginError, match=r"e4core\[otel\]"),
        serving(settings_in(tmp_path, traces_to="http://127.0.0.1:4318/v1/traces")),
    ):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:4318",
        "grpc://collector:4317",
        "http://",
        "http://[::1",
        "http://user:swordfish@c/",
        "http://c/?k=swordfish",
    ],
)
def test_what_is_no_collector_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="traces_to") as caught:
        Settings(traces_to=url)
    assert "swordfish" not in str(caught.value.errors(include_input=False)[0]["msg"])  # type: ignore[attr-defined]
