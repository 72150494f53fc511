# SPDX-License-Identifier: Apache-2.0
"""Who workloads say they are: JWTs under a key made here, and the part of a Kubernetes API server that believes them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ACCOUNT = "system:serviceaccount:default:e4"
_UID = "9e0a0d3c"


@dataclass
class Issuer:
    """Signs JWTs by RS256 (RFC 7518 section 3.3)."""

    _key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048), repr=False)

    @property
    def public_pem(self) -> str:
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def jwt(self, **claims: object) -> str:
        """Of the service account `ACCOUNT`, valid for ten minutes, unless ``claims`` say otherwise."""
        now = int(time.time())
        said = {
            "iss": "kubernetes/serviceaccount",
            "sub": ACCOUNT,
            "aud": ["e4"],
            "iat": now,
            "exp": now + 600,
            "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "e4", "uid": _UID}},
            **claims,
        }
        text = f"{_encoded(json.dumps({'alg': 'RS256', 'typ': 'JWT'}).encode())}.{_encoded(json.dumps(said).encode())}"
        return f"{text}.{_encoded(self._key.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"

    def signed(self, jwt: str) -> bool:
        text, _, signature = jwt.rpartition(".")
        try:
            raw = base64.urlsafe_b64decode(signature + "==")
            self._key.public_key().verify(raw, text.encode(), padding.PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True


@contextmanager
def token_reviews(issuer: Issuer) -> Iterator[str]:
    """URL of a server that answers TokenReview requests of Kubernetes, and believes what ``issuer`` signed."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps({**review, "status": _status(issuer, **review["spec"])}).encode()
            self.send_response(201 if self.path == "/apis/authentication.k8s.io/v1/tokenreviews" else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _status(issuer: Issuer, token: str, audiences: list[str]) -> dict[str, Any]:
    if not issuer.signed(token):
        return {"authenticated": False, "error": "the signature is wrong"}
    return {
        "authenticated": True,
        "audiences": audiences,
        "user": {"username": ACCOUNT, "uid": _UID, "groups": ["system:serviceaccounts", "system:authenticated"]},
    }


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
