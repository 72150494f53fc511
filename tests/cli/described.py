# SPDX-License-Identifier: Apache-2.0
"""A web server that is what the description of the API says, and nothing more: it answers each operation with the least that is
described, and refuses what is not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from jsonschema import Draft202012Validator

from scripts import reference
from tests.cli.c2_server import Asked, send, server

Json = Mapping[str, Any]

API = reference.openapi()
OPERATIONS: Mapping[str, Json] = {
    f"{method.upper()} {path}": operation
    for path, methods in API["paths"].items()
    for method, operation in methods.items()
}
_TEMPLATES = sorted(
    ((re.compile(re.sub(r"{\w+}", "[^/]+", name)), name) for name in OPERATIONS), key=lambda each: each[1].count("{")
)


@dataclass
class Described:
    """``asked``: the operations, in order. ``wrong``: what is not as described. ``more``: what answers have beside the least."""

    more: Mapping[str, Json]
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[str]:
        with server(self._reply) as (url, _):
            yield url

    def _reply(self, asked: Asked, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(asked.path)
        named = f"{asked.method} {parts.path}"
        name = next((name for template, name in _TEMPLATES if template.fullmatch(named)), None)
        if name is None:
            self.wrong.append(f"{named} is not described")
            send(handler, 404, "application/problem+json", b'{"detail": "no such operation", "kind": "undescribed"}')
            return
        self.asked.append(name)
        self._check(name, parse_qs(unquote(parts.query), keep_blank_values=True), asked.body)
        status, media_type, body = self._answer(name)
        send(handler, status, media_type, body)

    def _check(self, name: str, query: Mapping[str, list[str]], body: bytes) -> None:
        operation = OPERATIONS[name]
        known = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        self.wrong += [f"{name} takes no {each}" for each in query if each not in known]
        if ("requestBody" in operation) is not bool(body):
            self.wrong.append(f"{name} {'has no' if body else 'needs a'} body")
        elif body:
            ((_, content),) = operation["requestBody"]["content"].items()
            validator = Draft202012Validator({**content["schema"], "components": API["components"]})
            self.wrong += [f"{name}: {error.message}" for error in validator.iter_errors(json.loads(body))]

    def _answer(self, name: str) -> tuple[int, str, bytes]:
        ((status, answer),) = (each for each in OPERATIONS[name]["responses"].items() if each[0].startswith("2"))
        for media_type, content in answer.get("content", {}).items():
            document = least(content["schema"])
            document.update(self.more.get(name, {}))
            text = json.dumps(document)
            if media_type == "text/event-stream":
                text = f"id: 1\ndata: {text}\n\n"
            return int(status), media_type, text.encode()
        return int(status), "application/json", b""


def least(schema: Json) -> Any:
    """The plainest value that a schema allows; lists have one item, so that there is something to do."""
    if "$ref" in schema:
        return least(API["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return None if {"type": "null"} in schema["anyOf"] else least(schema["anyOf"][0])
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            return {name: least(of) for name, of in schema.get("properties", {}).items()}
        case "array":
            return [least(schema["items"])]
        case "string":
            return "0" * 32
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return None
