# SPDX-License-Identifier: Apache-2.0
"""Messages as HTTP requests, and JSON as messages. Whether what they say is right is for the HTTP application alone."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from google.api import field_behavior_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from e4c2.grpc.description import Rpc
from e4core.errors import InvalidInput

BODY = "body"

_PARAMETER = re.compile(r"{(\w+)}")
_AS_IT_IS = ("google.protobuf.Struct", "google.protobuf.Value")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request; ``path`` is not encoded, ``raw_path`` is."""

    verb: str
    path: str
    raw_path: bytes
    query: bytes
    body: bytes


def request(rpc: Rpc, data: bytes) -> Request:
    """The request that a call asks for. Raises: InvalidInput: it is no message of this RPC, or has an unknown field."""
    try:
        message = rpc.request.FromString(data)
    except DecodeError:
        raise InvalidInput(f"this is no {rpc.request.DESCRIPTOR.full_name}; use the e4.proto of this C2") from None
    _require_known(message)
    values = _json(message)
    body = values.pop(BODY, None)
    places = {name: _segment(name, values.pop(name, "")) for name in _PARAMETER.findall(rpc.path)}
    return Request(
        rpc.verb,
        rpc.path.format(**places),
        rpc.path.format(**{name: quote(text, safe="") for name, text in places.items()}).encode(),
        urlencode({name: _text(value) for name, value in values.items()}, doseq=True).encode(),
        b"" if body is None else json.dumps(body, separators=(",", ":")).encode(),
    )


def answer(rpc: Rpc, body: bytes) -> Message:
    """JSON as the message that the RPC gives."""
    return json_format.Parse(body or b"{}", rpc.answer())


def _require_known(message: Message) -> None:
    """As with JSON: a field that is not known might be what makes the request a harmless one."""
    for unknown in UnknownFieldSet(message):
        name = message.DESCRIPTOR.full_name
        raise InvalidInput(f"{name} has no field {unknown.field_number} here; use the e4.proto of this C2")
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            for each in value if field.is_repeated else (value,):
                _require_known(each)


def _json(message: Message) -> dict[str, Any]:
    """Of what is set, and what has no other way to be zero."""
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if (message.HasField(field.name) if field.has_presence else getattr(message, field.name) or _is_required(field))
    }


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {key: _single(inner, value[key]) for key in value}
    return [_single(field, each) for each in value] if field.is_repeated else _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64encode(value).decode()
    if field.message_type is None:
        return value
    return json_format.MessageToDict(value) if field.message_type.full_name in _AS_IT_IS else _json(value)


def _is_required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _segment(name: str, value: object) -> str:
    """One part of a path, which leads nowhere else."""
    text = str(value)
    if not text or "/" in text:
        raise InvalidInput(f"{name}: should be neither empty nor contain a slash")
    return text


def _text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool) else value
