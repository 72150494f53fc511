# SPDX-License-Identifier: Apache-2.0
"""A small issuer of OpenID Connect: a web server with its keys, which it signs with and rotates."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

AUDIENCE = "e4"
_RSA = RSAKey.generate_key(2048, {"kid": "rsa"})


class Issuer:
    """``asked``: paths, in order. ``documents``: what it answers, by path; None: nothing, ever. ``posts``: what takes forms."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.signing: dict[str, ECKey | RSAKey] = {"ec": _ec("ec"), "rsa": _RSA}
        self.documents: dict[str, bytes] = {}
        self.posts: dict[str, Callable[[dict[str, str]], tuple[int, dict[str, Any]]]] = {}

    def publish(self) -> None:
        jwks = {"keys": [key.as_dict(private=False) for key in self.signing.values()]}
        about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        self.documents = {
            "/.well-known/openid-configuration": json.dumps(about).encode(),
            "/keys": json.dumps(jwks).encode(),
        }

    def rotate(self, kid: str) -> None:
        """Sign with a new key alone."""
        self.signing = {"ec": _ec(kid)}
        self.publish()

    def token(self, key: str = "ec", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """For `AUDIENCE`, for a minute; claims that are None are left out."""
        now = int(time.time())
        body = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 60, **claims}
        signing = self.signing[key]
        alg = "RS256" if isinstance(signing, RSAKey) else "ES256"
        full = {"alg": alg, "kid": signing.kid, **(header or {})}
        return jwt.encode(full, {name: value for name, value in body.items() if value is not None}, signing)

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[Issuer]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = issuer.documents.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def do_POST(self) -> None:
                issuer.asked.append(self.path)
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                status, answer = issuer.posts[self.path]({name: values[0] for name, values in form.items()})
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", port), Handler) as http:
            self.url = f"http://127.0.0.1:{http.server_port}"
            self.port = http.server_port
            self.publish()
            thread = Thread(target=http.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield self
            finally:
                http.shutdown()
                thread.join()


def forged(token: str, header: dict[str, Any], secret: bytes) -> str:
    """The claims of ``token``, signed with a shared secret."""
    _, payload, _ = token.split(".")
    from joserfc import jws
    from joserfc.util import urlsafe_b64decode

    return jws.serialize_compact(header, urlsafe_b64decode(payload.encode()), OctKey.import_key(secret), ["HS256"])


def _ec(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": kid})
