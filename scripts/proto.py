# SPDX-License-Identifier: Apache-2.0
"""Writes the description of the gRPC API from that of the HTTP API: ``make reference``.

Each operation becomes one RPC, each schema one message with the same fields. A field keeps the number that it has in the file as it
is; one that is gone, or of another type now, leaves its number reserved. In a merge take either side, and run this again.
"""

from __future__ import annotations

import json
import tempfile
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from e4c2.api import http
from e4c2.api.parts import C2
from scripts.proto_types import BODY, EMPTY, STRUCT, VALUE, Field, Json, Rpc, described

ROOT = Path(__file__).parents[1]
PROTO = ROOT / "c2" / "e4c2" / "grpc" / "e4.proto"
COMPILED = PROTO.with_suffix(".binpb")
PACKAGE = "e4.v1"

_FILES = {
    "google.api.http": "google/api/annotations.proto",
    "google.api.field_behavior": "google/api/field_behavior.proto",
    BODY: "google/api/httpbody.proto",
    EMPTY: "google/protobuf/empty.proto",
    VALUE: "google/protobuf/struct.proto",
    STRUCT: "google/protobuf/struct.proto",
}
_HEAD = f"""\
// SPDX-License-Identifier: Apache-2.0
//
// The API of the C2 for gRPC. Written by scripts/proto.py from the description of the HTTP API, which it is equal to: an RPC does
// what its HTTP request does, with the same permissions, limits and errors. Do not edit.

syntax = "proto3";

package {PACKAGE};
"""


@cache
def openapi() -> Json:
    """The description of the HTTP API; it needs no C2 that would serve it."""
    return http.build(cast(C2, None)).openapi()


def written(api: Json, before: FileDescriptorProto | None) -> str:
    """The text of the file. Args: before: the file as it is, whose numbers are kept."""
    found = described(api)
    old = {message.name: message for message in before.message_type} if before else {}
    services = (_service(name, rpcs) for name, rpcs in sorted(found.services.items()))
    messages = (
        _message(name, fields, found.texts.get(name, ""), old.get(name, DescriptorProto()))
        for name, fields in sorted(found.messages.items())
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


def _comment(text: str, indent: str = "") -> list[str]:
    return [
        f"{indent}// {line}" for line in textwrap.wrap(" ".join(text.replace("``", "`").split()), 117 - len(indent))
    ]


if __name__ == "__main__":
    write()
