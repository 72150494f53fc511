# SPDX-License-Identifier: Apache-2.0
"""Services and messages of gRPC, as they follow from the description of the HTTP API."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

EMPTY, VALUE, STRUCT, BODY = (
    "google.protobuf.Empty",
    "google.protobuf.Value",
    "google.protobuf.Struct",
    "google.api.HttpBody",
)
_SCALARS = {"string": "string", "integer": "int64", "number": "double", "boolean": "bool"}
_JSON, _EVENTS = "application/json", "text/event-stream"
_BULK = "/batch"
"""Paths with it take a stream: each message is one request, answered by one."""


@dataclass(frozen=True, slots=True)
class Field:
    """``type`` with ``repeated``, or as ``map<...>``; ``is_optional``: that it is absent is not the same as its zero."""

    name: str
    type: str
    text: str
    is_optional: bool
    is_required: bool


@dataclass(frozen=True, slots=True)
class Rpc:
    name: str
    request: str
    answer: str
    rule: str
    text: str


@dataclass(frozen=True)
class Described:
    """Services by name, and messages by name."""

    services: dict[str, list[Rpc]] = field(default_factory=dict)
    messages: dict[str, list[Field]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


def described(api: Json) -> Described:
    found = Described()
    schemas = _Schemas(api["components"]["schemas"], found)
    for path, methods in api["paths"].items():
        for verb, operation in methods.items():
            service = f"{_pascal(operation['tags'][0])}Service"
            found.services.setdefault(service, []).extend(_rpcs(verb, path, operation, schemas))
    return found


def _rpcs(verb: str, path: str, operation: Json, schemas: _Schemas) -> Iterator[Rpc]:
    """One; or two, if it answers in JSON and also as a stream of events."""
    whole, tag = _pascal(operation["operationId"]), _pascal(operation["tags"][0])
    fields = [schemas.parameter(each) for each in operation.get("parameters", ()) if each["in"] in ("path", "query")]
    rule = f'{verb}: "{path}"'
    if "requestBody" in operation:
        takes = operation["requestBody"]
        fields.append(Field("body", schemas.of_content(takes["content"]), "", True, takes.get("required", False)))
        rule += ' body: "body"'
    schemas.described.messages[f"{whole}Request"] = fields
    text = f"{operation['summary']}.\n\n{operation.get('description', '')}"
    bulk = "stream " if _BULK in path else ""
    answers = next(of for status, of in operation["responses"].items() if status.startswith("2")).get("content", {})
    both = len(answers) > 1
    for form, of in answers.items() or [(_JSON, {})]:
        stream, word = ("stream ", "Watch" if both else "") if form == _EVENTS else (bulk, "")
        answer = stream + schemas.of_content({form: of})
        yield Rpc(word + whole.removeprefix(tag), f"{bulk}{whole}Request", answer, rule, text)


@dataclass(frozen=True, slots=True)
class _Schemas:
    """Schemas as types of fields; what they name is described as it is met."""

    named: Mapping[str, Json]
    described: Described

    def parameter(self, given: Json) -> Field:
        schema = {"description": given.get("description", ""), **given["schema"]}
        return self._field(given["name"], schema, given["in"] == "path")

    def of_content(self, content: Json) -> str:
        """Type of the body of a request or an answer."""
        ((form, of),) = content.items()
        schema = of.get("schema", of.get("itemSchema", {}))
        if form not in (_JSON, _EVENTS):
            return BODY
        return self._type(schema) if schema else EMPTY

    def _field(self, name: str, schema: Json, is_required: bool) -> Field:
        kind = self._type(schema)
        has_presence = not kind.startswith(("repeated ", "map<"))
        is_optional = has_presence and (not is_required or _is_nullable(schema))
        return Field(name, kind, _text(schema), is_optional, is_required and not _is_nullable(schema))

    def _type(self, schema: Json) -> str:
        forms = [each for each in schema.get("anyOf", schema.get("oneOf", ())) if each.get("type") != "null"]
        if forms:
            kinds = {self._type(each) for each in forms}
            return kinds.pop() if len(kinds) == 1 else VALUE
        if "$ref" in schema:
            return self._message(schema["$ref"].rpartition("/")[2])
        if "items" in schema:
            kind = self._type(schema["items"])
            return VALUE if kind.startswith(("repeated ", "map<")) else f"repeated {kind}"
        if isinstance(schema.get("additionalProperties"), Mapping):
            kind = self._type(schema["additionalProperties"])
            return STRUCT if kind.startswith(("repeated ", "map<")) else f"map<string, {kind}>"
        if schema.get("format") in ("byte", "base64"):
            return "bytes"
        return STRUCT if schema.get("type") == "object" else _SCALARS.get(str(schema.get("type")), VALUE)

    def _message(self, name: str) -> str:
        """The message of a schema, described; an enum is its words, as in JSON."""
        schema = self.named[name]
        if "properties" not in schema:
            return self._type(schema)
        called = _called(name)
        if called not in self.described.messages:
            self.described.messages[called] = []
            self.described.texts[called] = _text(schema)
            required = schema.get("required", ())
            self.described.messages[called] += [
                self._field(each, of, each in required) for each, of in schema["properties"].items()
            ]
        return called


def _is_nullable(schema: Json) -> bool:
    return any(each.get("type") == "null" for each in schema.get("anyOf", ()))


def _called(name: str) -> str:
    """``Page_Client_`` -> ``ClientPage``; of two with one name, ``e4c2__api__kms__Status`` -> ``KmsStatus``."""
    page = re.fullmatch(r"(\w+?)_(\w+)_", name)
    return _pascal(page[2]) + page[1] if page else _pascal("_".join(re.split("__", name)[-2:]))


def _pascal(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))


def _text(schema: Json) -> str:
    return str(schema.get("description", ""))
