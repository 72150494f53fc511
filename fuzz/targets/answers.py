# SPDX-License-Identifier: Apache-2.0
"""What `e4` is told by what it takes for a C2: a status and ``+`` for a problem, then the body of the answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import islice
from threading import Thread

from e4cli.api_client import Api
from e4cli.connection import Token
from e4core.errors import E4Error
from e4core.keys import Secret
from fuzz.target import Check, Target, accepted, must

_MOST_ITEMS = 3


class _C2(HTTPServer):
    answer = b""


class _Saying(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _C2

    def do_GET(self) -> None:
        head, _, body = self.server.answer.partition(b"\n")
        digits = head.rstrip(b"+")
        status = int(digits) if digits.isdigit() and 200 <= int(digits[:4]) < 600 else 200
        self.send_response(status if status not in (204, 304) else 200)
        self.send_header("content-type", "application/problem+json" if head.endswith(b"+") else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None: ...


@contextmanager
def _answers() -> Iterator[Check]:
    with _C2(("127.0.0.1", 0), _Saying) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            with Api(url, Token(Secret(b"e4_token"), "here")) as api:

                def check(data: bytes) -> None:
                    server.answer = data
                    about = accepted(lambda: api.get("/v1/c2"), E4Error)
                    must(about is None or isinstance(about, dict), "an answer that is no object")
                    accepted(lambda: list(islice(api.items("/v1/clients"), _MOST_ITEMS)), E4Error)
                    accepted(lambda: api.get(api.client("a")), E4Error)

                yield check
        finally:
            server.shutdown()
            thread.join()


_ITEM = {"id": "00" * 16, "name": "a"}
_PROBLEM = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no such client", "kind": "not_found"}
_SEEDS = (
    b"200\n" + json.dumps({"items": [_ITEM], "next": None}).encode(),
    b"200\n" + json.dumps({"items": [_ITEM], "next": "YQ=="}).encode(),
    b"200\n" + json.dumps({"suite": "sk", "wire_name": "sk", "c2_keys": []}).encode(),
    b"404+\n" + json.dumps(_PROBLEM).encode(),
    b"503+\n" + json.dumps({**_PROBLEM, "kind": "kms_unavailable"}).encode(),
    b"200\n",
)
_WORDS = (
    b'"items"',
    b'"next"',
    b'"id"',
    b'"kind"',
    b'"detail"',
    b"null",
    b"[[[[",
    b"{}",
    b"1e999",
    b"404+\n",
    b"\xff\xfe",
)

TARGETS = {"api-answer": Target(_answers, lambda: _SEEDS, _WORDS)}
