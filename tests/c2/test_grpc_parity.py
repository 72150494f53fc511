# SPDX-License-Identifier: Apache-2.0
"""The HTTP API and the gRPC API are one: what either describes, the other has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from e4c2.api.status import BY_CLASS, BY_KIND, GRPC
from e4c2.grpc.description import Rpc, services
from scripts import proto

API = proto.openapi()
SCHEMAS: Mapping[str, Any] = API["components"]["schemas"]
RPCS = [rpc for service in services().values() for rpc in service.values()]
OPERATIONS = {
    f"{verb.upper()} {path}": operation for path, verbs in API["paths"].items() for verb, operation in verbs.items()
}
SCALARS = {
    "string": FieldDescriptor.TYPE_STRING,
    "integer": FieldDescriptor.TYPE_INT64,
    "number": FieldDescriptor.TYPE_DOUBLE,
    "boolean": FieldDescriptor.TYPE_BOOL,
}
FREE = ("google.protobuf.Value", "google.protobuf.Struct")


def test_what_is_committed_is_what_is_generated() -> None:
    text = proto.PROTO.read_text(encoding="utf-8")
    made = proto.compiled(text)
    assert proto.written(API, made.file[0]) == text, "run: make reference"
    assert made.SerializeToString(deterministic=True) == proto.COMPILED.read_bytes(), "run: make reference"


def test_every_operation_is_one_rpc_for_each_form_of_its_answer() -> None:
    forms = {name: max(1, len(answer_of(operation))) for name, operation in OPERATIONS.items()}
    rpcs = [f"{rpc.verb} {rpc.path}" for rpc in RPCS]
    assert {name: rpcs.count(name) for name in {*rpcs, *forms}} == forms


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: f"{rpc.service}.{rpc.name}")
def test_an_rpc_takes_and_gives_what_its_operation_does(rpc: Rpc) -> None:
    operation = OPERATIONS[f"{rpc.verb} {rpc.path}"]
    given = {each["name"]: each for each in operation.get("parameters", ()) if each["in"] in ("path", "query")}
    fields = dict(rpc.request.DESCRIPTOR.fields_by_name)
    body = fields.pop("body", None)
    for name, field in fields.items():
        same(given[name]["schema"], field)
    assert set(fields) == set(given)
    assert re.findall(r"{(\w+)}", rpc.path) == [name for name in given if given[name]["in"] == "path"]
    assert (body is not None) == ("requestBody" in operation)
    if body is not None:
        same(schema_of(operation["requestBody"]["content"]), body)
    streamed = rpc.gives_many and not rpc.takes_many
    content = {form: of for form, of in answer_of(operation).items() if (form == "text/event-stream") == streamed}
    if content:
        same_message(schema_of(content), rpc.answer.DESCRIPTOR)
    else:
        assert rpc.answer.DESCRIPTOR.full_name == "google.protobuf.Empty"


def answer_of(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(of.get("content", {}) for status, of in operation["responses"].items() if status.startswith("2"))


def schema_of(content: Mapping[str, Any]) -> Mapping[str, Any]:
    (form,) = content.values()
    found: Mapping[str, Any] = form.get("schema") or form["itemSchema"]
    return found


def forms_of(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All that a value may be, but null."""
    if "$ref" in schema:
        yield from forms_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from forms_of(each)
    elif schema.get("type") != "null":
        yield schema


def same(schema: Mapping[str, Any], field: FieldDescriptor) -> None:
    forms = list(forms_of(schema))
    if field.message_type and field.message_type.full_name in FREE:
        return
    for form in forms:
        if form.get("type") == "array":
            assert field.is_repeated, field.full_name
            form = next(forms_of(form["items"]))  # noqa: PLW2901
        if "properties" in form:
            same_message(form, field.message_type)
        elif form.get("type") == "object":
            inner = field.message_type.fields_by_name["value"]
            assert field.message_type.GetOptions().map_entry
            same(form["additionalProperties"], inner)
        else:
            is_bytes = form.get("format") == "byte"
            assert field.type == (FieldDescriptor.TYPE_BYTES if is_bytes else SCALARS[form["type"]]), field.full_name
    if {"type": "null"} in schema.get("anyOf", ()) and not field.is_repeated:
        assert field.has_presence, field.full_name


def same_message(schema: Mapping[str, Any], message: Descriptor) -> None:
    (form,) = forms_of(schema)
    assert set(message.fields_by_name) == set(form["properties"]), message.full_name
    for name, field in message.fields_by_name.items():
        assert field.json_name == name
        same(form["properties"][name], field)


def test_every_status_has_a_code_of_grpc() -> None:
    answered = {*BY_CLASS.values(), *BY_KIND.values(), HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.BAD_REQUEST}
    assert answered <= set(GRPC)
    assert {grpc.StatusCode[name] for name in GRPC.values()}.isdisjoint({grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN})


def small(**fields: Mapping[str, Any]) -> dict[str, Any]:
    """An API of one operation, whose body has these fields."""
    operation = {
        "tags": ["things"],
        "operationId": "things_make",
        "summary": "Make",
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
        "responses": {"204": {"description": "done"}},
    }
    schema = {"properties": fields, "type": "object", "description": "A thing."}
    return {"paths": {"/v1/things": {"post": operation}}, "components": {"schemas": {"Thing": schema}}}


def numbers(text: str) -> dict[str, int]:
    (thing,) = (each for each in proto.compiled(text).file[0].message_type if each.name == "Thing")
    return {field.name: field.number for field in thing.field}


def test_fields_keep_their_numbers_and_those_that_went_leave_theirs_reserved() -> None:
    text, integer = {"type": "string"}, {"type": "integer"}
    many = {"type": "object", "additionalProperties": integer}
    first = proto.written(small(a=text, b=integer, c=many, d={"type": "array", "items": text}), None)
    assert numbers(first) == {"a": 1, "b": 2, "c": 3, "d": 4}

    second = proto.written(small(new=text, d=text, c=many, a=text), proto.compiled(first).file[0])
    assert numbers(second) == {"a": 1, "c": 3, "new": 5, "d": 6}  # d is of another type
    assert "reserved 2, 4;" in second
    assert 'reserved "b";' in second

    third = proto.written(small(a=text, b=text), proto.compiled(second).file[0])
    assert numbers(third) == {"a": 1, "b": 7}
    assert "reserved 2, 3, 4, 5, 6;" in third
