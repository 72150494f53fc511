# SPDX-License-Identifier: Apache-2.0
"""The log of a C2: one form for all that is told, each line with its request, and no secret in it, whoever quotes one."""

from __future__ import annotations

import base64
import io
import json
import logging
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e4c2.telemetry.logs import FIELDS, LogFormat, handler
from e4c2.telemetry.redaction import REDACTED, redact
from e4c2.telemetry.requests import identify, request_id
from tests.c2.test_app_command import Process

TOKEN = "e4_Ab3dEf6hIj9kLmNoPqRsTuVwXyZ0123456789-_ab"
SECRETS = (
    (f"GET /v1/topics with {TOKEN}", TOKEN),
    ("Authorization: Bearer abcdefgh", "abcdefgh"),
    ("{'authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
    ("headers [(b'authorization', b'Bearer short')]", "short"),
    ("sent Bearer a.b.c-d", "a.b.c-d"),
    ("pkcs11:token=box;object=e4?pin-value=7391&module-path=/x", "7391"),
    ("the PIN: 7391 was refused", "7391"),
    ("password=hunter2, user=e4", "hunter2"),
    ("mqtts://c2:hunter2@broker:8883?version=5", "hunter2"),
    ("postgresql://e4:hunter2@db/e4", "hunter2"),
    (f"key {'0a' * 32} of a device", "0a0a"),
    ("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE\n-----END PRIVATE KEY-----\nand on", "MC4CAQ"),
    ("-----BEGIN EC PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIE", "MC4CAQ"),
)
HARMLESS = (
    "the device 0123456789abcdef0123456789abcdef is behind",
    "port 8884 of 127.0.0.1 is in use; choose another one with E4_PORT",
    "/srv/plant-1/E4-Data/test_What_it_keeps_is_for_its_owner_alone_2/c2.sqlite cannot be used",
    "the password file /etc/e4/broker-password is missing",
    "mqtts://broker:8883?version=5 does not answer",
)


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_what_looks_like_a_secret_is_not_written(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in redact(text)
    assert REDACTED in redact(text)


def test_keys_in_base64_are_not_written() -> None:
    chance = random.Random(7)
    keys = [chance.randbytes(chance.choice((32, 48, 64))) for _ in range(500)]
    kept = [
        key
        for key in keys
        for made in (base64.b64encode, base64.urlsafe_b64encode)
        if made(key).decode() in redact(made(key).decode())
    ]
    assert len(kept) <= len(keys) // 100


@pytest.mark.parametrize("text", HARMLESS)
def test_what_operators_need_is_written(text: str) -> None:
    assert redact(text) == text


def written(form: LogFormat, act: Callable[[logging.Logger], object]) -> str:
    stream = io.StringIO()
    log = logging.Logger("e4.test")
    log.addHandler(handler(form, stream))
    act(log)
    return stream.getvalue()


@pytest.mark.parametrize("form", LogFormat)
def test_a_line_is_a_line_and_names_its_request(form: LogFormat) -> None:
    inside = request_id.set("r-1")
    try:
        told = written(form, lambda log: log.error("two\nlines with \x1b[31m %s", TOKEN))
    finally:
        request_id.reset(inside)
    assert told.count("\n") == 1
    assert "\x1b" not in told
    assert "r-1" in told
    assert TOKEN not in told


def test_a_line_of_json_has_all_by_name() -> None:
    fields = {"route": "/v1/topics", "seconds": 0.5, "odd": object(), "quoted": TOKEN}
    told = json.loads(written(LogFormat.JSON, lambda log: log.warning("done", extra={FIELDS: fields})))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert told == {
        "level": "warning",
        "logger": "e4.test",
        "message": "done",
        "route": "/v1/topics",
        "seconds": 0.5,
        "odd": "(object)",
        "quoted": f"e4_{REDACTED}",
    }


@pytest.mark.parametrize("form", LogFormat)
def test_an_error_is_told_by_places_and_types_never_by_values(form: LogFormat) -> None:
    def fail(log: logging.Logger) -> None:
        try:
            try:
                raise KeyError("the secret inside")
            except KeyError as error:
                raise ValueError("the secret outside") from error
        except ValueError:
            log.exception("failed")

    told = written(form, fail)
    assert "the secret" not in told
    assert all(each in told for each in ("ValueError", "KeyError", Path(__file__).name, "fail"))


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        *((given, True) for given in ("a", "5f0c:1.2-b_3", "a" * 64)),
        *((given, False) for given in ("a" * 65, "", "a b", "a\n", "-a", "é", None)),
    ],
)
def test_a_request_id_is_kept_if_it_is_sane(given: str | None, is_kept: bool) -> None:
    made = identify(given)
    assert (made == given) is is_kept
    assert identify(made) == made
    assert is_kept or made != identify(given)


def test_each_request_is_a_line_with_its_id_which_the_answer_has_too(tmp_path: Path) -> None:
    c2 = Process(tmp_path, E4_LOG_FORMAT="json", E4_LOG_LEVEL="info")
    first = c2.http.get("/v1/topics/0123456789abcdef0123456789abcdef", headers={"X-Request-Id": "mine-1"})
    second = c2.http.get("/v1/clients?limit=1")
    refused = c2.http.get("/v1/topics", headers={"Authorization": "Bearer wrong", "X-Request-Id": "line\tbreak"})
    _, out, error = c2.end(signal.SIGTERM)
    lines: list[dict[str, Any]] = [json.loads(line) for line in error.splitlines()]
    told = {line["request_id"]: line for line in lines if "route" in line}
    assert first.headers["x-request-id"] == "mine-1"
    assert told["mine-1"]["route"] == "/v1/topics/{topic}"
    assert (told["mine-1"]["method"], told["mine-1"]["status"]) == ("GET", 404)
    assert told[second.headers["x-request-id"]]["status"] == 200
    assert (
        told[refused.headers["x-request-id"]] | {"route": "none", "status": 401}
        == told[refused.headers["x-request-id"]]
    )
    assert all(line["level"] in ("info", "warning") for line in lines)
    assert c2.token not in error + out
