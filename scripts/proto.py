# SPDX-License-Identifier: Apache-2.0
"""Writes the description of the gRPC API from that of the HTTP API: ``make proto``, and with ``make reference``.

Each operation becomes one RPC, each schema one message with the same fields. A field keeps the number that it has in the file as it
is; one that is gone, or of another type now, leaves its number reserved. In a merge take either side, and run this again.
"""

from __future__ import annotations

import json
import re
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from e4c2.api import http
from e4c2.api.parts import C2

Json = Mapping[str, Any]

ROOT = Path(__file__).parents[1]
PROTO = ROOT / "c2" / "e4c2" / "grpc" / "e4.proto"
COMPILED = PROTO.with_suffix(".binpb")
PACKAGE = "e4.v1"

_EMPTY, _VALUE, _STRUCT, _BODY = (
    "google.protobuf.Empty",
    "google.protobuf.Value",
    "google.protobuf.Struct",
    "google.api.HttpBody",
)
_SCALARS = {"string": "string", "integer": "int64", "number": "double", "boolean": "bool"}
_FILES = {
    "google.api.http": "google/api/annotations.proto",
    "google.api.field_behavior": "google/api/field_behavior.proto",
    _BODY: "google/api/httpbody.proto",
    _EMPTY: "google/protobuf/empty.proto",
    _VALUE: "google/protobuf/struct.proto",
    _STRUCT: "google/protobuf/struct.proto",
}
_JSON, _EVENTS = "application/json", "text/event-stream"
_BULK = "/batch"
"""Paths that end so take a stream: each message is one request, answered by one."""
_HEAD = f"""\
// SPDX-License-Identifier: Apache-2.0
//
// The API of the C2 for gRPC. Written by scripts/proto.py from the description of the HTTP API, which it is equal to: an RPC does
// what its HTTP request does, with the same permissions, limits and errors. Do not edit.

syntax = "proto3";

package {PACKAGE};
"""


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


@cache
def openapi() -> Json:
    """The description of the HTTP API; it needs no C2 that would serve it."""
    return http.build(cast(C2, None)).openapi()


def written(api: Json, before: FileDescriptorProto | None) -> str:
    """The text of the file. Args: before: the file as it is, whose numbers are kept."""
    described = _describe(api)
    old = {message.name: message for message in before.message_type} if before else {}
    services = (_service(name, rpcs) for name, rpcs in sorted(described.services.items()))
    messages = (
        _message(name, fields, described.texts.get(name, ""), old.get(name, DescriptorProto()))
        for name, fields in sorted(described.messages.items())
    )
    body = "\n".join([*services, *messages])
    imports = sorted({file for name, file in _FILES.items() if name in body})
    return "\n".join([_HEAD, *(f'import "{file}";' for file in imports), "", body])


def compiled(proto: str) -> FileDescriptorSet:
    """What protoc makes of the text of the file. Raises: ValueError: it is wrong, and protoc has told why."""
    with tempfile.TemporaryDirectory() as folder:
        source, sink = Path(folder) / "e4" / "v1" / "e4.proto", Path(folder) / "set"
        source.parent.mkdir(parents=True)
        source.write_text(proto, encoding="utf-8")
        paths = (folder, *map(_folder, ("grpc_tools/_proto", "google/api/../..")))
        arguments = ["protoc", *(f"-I{path}" for path in paths), f"--descriptor_set_out={sink}", "e4/v1/e4.proto"]
        if protoc.main(arguments):
            raise ValueError(f"{PROTO.name} is refused by protoc")
        return FileDescriptorSet.FromString(sink.read_bytes())


def write() -> None:
    before = compiled(PROTO.read_text(encoding="utf-8")).file[0] if PROTO.exists() else None
    text = written(openapi(), before)
    made = compiled(text)
    PROTO.write_text(text, encoding="utf-8")
    COMPILED.write_bytes(made.SerializeToString(deterministic=True))


def _folder(inside: str) -> str:
    package, _, rest = inside.partition("/")
    spec = find_spec(f"{package}.api") if package == "google" else find_spec(package)
    assert spec and spec.submodule_search_locations
    found = Path(next(iter(spec.submodule_search_locations)))
    return str(found.parents[1] if package == "google" else found / rest)


def _describe(api: Json) -> Described:
    described = Described()
    schemas = _Schemas(api["components"]["schemas"], described)
    for path, methods in api["paths"].items():
        for verb, operation in methods.items():
            service = f"{_pascal(operation['tags'][0])}Service"
            described.services.setdefault(service, []).extend(_rpcs(verb, path, operation, schemas))
    return described


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
    bulk = "stream " if path.endswith(_BULK) else ""
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
            return _BODY
        return self._type(schema) if schema else _EMPTY

    def _field(self, name: str, schema: Json, is_required: bool) -> Field:
        kind = self._type(schema)
        has_presence = not kind.startswith(("repeated ", "map<"))
        is_optional = has_presence and (not is_required or _is_nullable(schema))
        return Field(name, kind, _text(schema), is_optional, is_required and not _is_nullable(schema))

    def _type(self, schema: Json) -> str:
        forms = [each for each in schema.get("anyOf", schema.get("oneOf", ())) if each.get("type") != "null"]
        if forms:
            kinds = {self._type(each) for each in forms}
            return kinds.pop() if len(kinds) == 1 else _VALUE
        if "$ref" in schema:
            return self._message(schema["$ref"].rpartition("/")[2])
        if "items" in schema:
            kind = self._type(schema["items"])
            return _VALUE if kind.startswith(("repeated ", "map<")) else f"repeated {kind}"
        if isinstance(schema.get("additionalProperties"), Mapping):
            kind = self._type(schema["additionalProperties"])
            return _STRUCT if kind.startswith(("repeated ", "map<")) else f"map<string, {kind}>"
        if schema.get("format") in ("byte", "base64"):
            return "bytes"
        return _STRUCT if schema.get("type") == "object" else _SCALARS.get(str(schema.get("type")), _VALUE)

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


def _service(name: str, rpcs: Iterable[Rpc]) -> str:
    lines = [f"service {name} {{"]
    for rpc in sorted(rpcs, key=lambda rpc: rpc.name):
        lines += _comment(rpc.text, "  ")
        lines += [f"  rpc {rpc.name}({rpc.request}) returns ({rpc.answer}) {{"]
        lines += [f"    option (google.api.http) = {{ {rpc.rule} }};", "  }", ""]
    return "\n".join([*lines[:-1], "}", ""])


def _message(name: str, fields: Iterable[Field], text: str, before: DescriptorProto) -> str:
    fields = list(fields)
    kept = {each.name: each.number for each in before.field if _Was(before).type(each) in _types(fields, each.name)}
    gone = {each.number for each in before.field} - set(kept.values())
    gone |= {number for each in before.reserved_range for number in range(each.start, each.end)}
    names = {*before.reserved_name, *(each.name for each in before.field)} - {each.name for each in fields}
    free = iter(range(max([*gone, *kept.values()], default=0) + 1, 1 << 29))
    numbers = {each.name: kept.get(each.name) or next(free) for each in fields}
    lines = [*_comment(text), f"message {name} {{"]
    lines += [f"  reserved {', '.join(map(str, sorted(gone)))};"] if gone else []
    lines += [f"  reserved {', '.join(json.dumps(each) for each in sorted(names))};"] if names else []
    for each in sorted(fields, key=lambda each: numbers[each.name]):
        lines += [*_comment(each.text, "  "), f"  {_declared(each)} = {numbers[each.name]}{_options(each)};"]
    return "\n".join([*lines, "}", ""])


def _types(fields: Iterable[Field], name: str) -> list[str]:
    return [each.type for each in fields if each.name == name]


@dataclass(frozen=True, slots=True)
class _Was:
    """A message of the file as it is."""

    message: DescriptorProto

    def type(self, of: FieldDescriptorProto) -> str:
        """As `Field.type` has it."""
        word = of.type_name.removeprefix(f".{PACKAGE}.").removeprefix(".") or FieldDescriptorProto.Type.Name(of.type)
        kind = word.removeprefix("TYPE_").lower() if word.startswith("TYPE_") else word
        for entry in self.message.nested_type:
            if word == f"{self.message.name}.{entry.name}":
                return f"map<{', '.join(_Was(entry).type(each) for each in entry.field)}>"
        return f"repeated {kind}" if of.label == FieldDescriptorProto.LABEL_REPEATED else kind


def _declared(of: Field) -> str:
    is_message = of.type[0].isupper() or of.type.startswith("google.")
    return f"{'optional ' if of.is_optional and not is_message else ''}{of.type} {of.name}"


def _options(of: Field) -> str:
    """Its name in JSON is the same, too."""
    options = ["(google.api.field_behavior) = REQUIRED"] if of.is_required else []
    options += [f'json_name = "{of.name}"'] if "_" in of.name else []
    return f" [{', '.join(options)}]" if options else ""


def _text(schema: Json) -> str:
    return str(schema.get("description", ""))


def _comment(text: str, indent: str = "") -> list[str]:
    return [f"{indent}// {line}" for line in textwrap.wrap(" ".join(text.replace("``", "`").split()), 117 - len(indent))]


if __name__ == "__main__":
    write()
