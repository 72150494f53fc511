# SPDX-License-Identifier: Apache-2.0
"""``/v1/ready`` may be asked by anybody, as often as he likes: the log has each outage once."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from e4c2.api.gate import Gate
from e4core.errors import E4Error, KmsUnavailable, NotFound, TransportError


async def asked(gate: Gate, path: str) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await gate(scope, receive, send)
    return int(sent[0]["status"])


def test_an_outage_is_told_once_and_the_next_one_anew(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[E4Error | None] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        if (failure := failures.pop(0)) is not None:
            raise failure
        await send({"type": "http.response.start", "status": 200, "headers": []})

    gate = Gate(app, SimpleNamespace())  # type: ignore[arg-type]
    away, off = KmsUnavailable("the KMS is away"), TransportError("the broker is off")
    with caplog.at_level(logging.ERROR):
        for told, errors in ((1, [away] * 3), (1, [off, away, off]), (0, [NotFound("x")]), (0, [None]), (1, [away])):
            caplog.clear()
            failures[:] = errors
            statuses = [asyncio.run(asked(gate, "/v1/ready")) for _ in errors]
            assert all((status == 200) is (error is None) for status, error in zip(statuses, errors, strict=True))
            assert len(caplog.records) == told
        failures[:] = [None, away]
        assert [asyncio.run(asked(gate, path)) for path in ("/v1/health", "/v1/ready")] == [200, 503]
        assert len(caplog.records) == 1, "that the process lives says nothing of the KMS"
