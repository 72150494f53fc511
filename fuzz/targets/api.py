# SPDX-License-Identifier: Apache-2.0
"""The HTTP API of a C2, in process: a request is a line ``METHOD PATH?QUERY``, then the body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI

from e4backends.sk import SUITE
from e4c2.api import http
from e4c2.app import open_c2
from e4c2.settings import Settings
from fuzz.target import Check, Target, must, quoted

_KEY = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
_CLIENT = SUITE.derive_id("a").hex()
_PROBLEM = {"type", "title", "status", "detail", "kind"}
_ANSWERS_WITHIN_S = 10.0


@contextmanager
def _api() -> Iterator[Check]:
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        settings = Settings(data=Path(folder) / "data", broker="memory:fuzz")
        opened = open_c2(settings)
        c2, token = runner.run(opened.__aenter__())
        app = http.build(c2)
        for seed in _SEEDS[:2]:
            runner.run(_ask(app, token or b"", seed))

        def check(data: bytes) -> None:
            status, headers, body = runner.run(_ask(app, token or b"", data))
            must(100 <= status < 500, f"the C2 failed with {status}")
            must(_KEY.encode() not in body, "an answer shows the key of a device")
            if status >= 400:
                must(headers.get(b"content-type") == b"application/problem+json", "an error that is no problem")
                must(set(json.loads(body)) == _PROBLEM, "a problem without all its members")

        try:
            yield check
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def _ask(app: FastAPI, token: bytes, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the answer."""
    line, _, body = data.partition(b"\n")
    method, _, target = line.partition(b" ")
    path, _, query = target.partition(b"?")
    headers = [(b"authorization", b"Bearer " + token), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method.decode("latin-1").upper() or "GET",
        "scheme": "http",
        "path": unquote("/" + path.lstrip(b"/").decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [*headers, (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8884),
    }
    said: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    async with asyncio.timeout(_ANSWERS_WITHIN_S):
        await app(scope, receive, send)
    must(bool(said), "no answer")
    return said[0]["status"], dict(said[0]["headers"]), b"".join(part.get("body", b"") for part in said[1:])


def _seed(line: str, body: object = None) -> bytes:
    return line.encode() + b"\n" + (b"" if body is None else json.dumps(body).encode())


_ID = f"/v1/clients/{_CLIENT}"
_OF_TOPIC = f"/v1/topics/{SUITE.derive_topic('t').hex()}"
_DEK = "/v1/kms/deks/records/1"
_SEEDS = (
    _seed("POST /v1/clients", {"name": "a", "key": _KEY}),
    _seed("POST /v1/topics", {"name": "t"}),
    _seed("POST /v1/clients", {"name": "b", "key": _KEY, "id": "0" * 32, "c2_key": None}),
    _seed("GET /v1/clients?limit=2&name=a&cursor=YQ=="),
    _seed(f"GET {_ID}"),
    _seed(f"POST {_OF_TOPIC}/members", {"clients": [_CLIENT]}),
    _seed(f"POST {_OF_TOPIC}/rotate"),
    _seed(f"GET {_OF_TOPIC}/members?limit=1"),
    _seed(f"POST {_OF_TOPIC}/evict", {"clients": [_CLIENT], "rekey": False}),
    _seed(f"POST {_ID}/key", {"reason": "routine"}),
    _seed(f"POST {_ID}/key/confirm"),
    _seed(f"POST {_ID}/key/cancel"),
    _seed(f"POST {_ID}/reset"),
    _seed(f"POST {_ID}/enrol", {"key": _KEY, "c2_key": 0}),
    _seed(f"POST {_ID}/links", {"peer": _CLIENT}),
    _seed(f"DELETE {_ID}?rekey=false"),
    _seed("POST /v1/tokens", {"name": "operator", "grants": [], "lifetime_s": 3600.5}),
    _seed("POST /v1/c2/key", {"reason": "compromised"}),
    _seed("POST /v1/c2/key/finish", {"force": False}),
    _seed(f"GET /v1/commands?state=pending&limit=1000&client={_CLIENT}"),
    _seed("GET /v1/kms/rows"),
    _seed(f"POST {_DEK}/wraps/check", {"uri": "file:kek.json"}),
    _seed(f"POST {_DEK}/wraps", {"uri": "file:kek.json", "first": True}),
)

_WORDS = (
    *quoted(
        "name key reason clients uri force first limit cursor lifetime_s peer rekey id version routine compromised \\ud800"
    ),
    *(b"/v1/", b"GET ", b"POST ", b"DELETE ", b"?", b"&", b"%00", b"%ff", b"null", b"1e999", b"NaN", _CLIENT.encode()),
)

TARGETS = {"api": Target(_api, lambda: _SEEDS, _WORDS)}
