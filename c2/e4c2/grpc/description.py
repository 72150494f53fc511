# SPDX-License-Identifier: Apache-2.0
"""What ``e4.proto`` says, as protoc compiled it: which RPC is which HTTP request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

COMPILED = Path(__file__).with_name("e4.binpb")

_VERBS = ("get", "put", "post", "delete", "patch")


@dataclass(frozen=True, slots=True)
class Rpc:
    """``path`` has parameters in braces; ``takes_many``, ``gives_many``: streams."""

    service: str
    name: str
    verb: str
    path: str
    request: type[Message]
    answer: type[Message]
    takes_many: bool
    gives_many: bool


@cache
def services() -> Mapping[str, Mapping[str, Rpc]]:
    """RPCs by the full names of their services, and by their own."""
    from google.api import annotations_pb2

    pool = descriptor_pool.Default()
    for file in FileDescriptorSet.FromString(COMPILED.read_bytes()).file:
        for needed in file.dependency:
            import_module(needed.removesuffix(".proto").replace("/", ".") + "_pb2")
        pool.AddSerializedFile(file.SerializeToString())
    described = pool.FindFileByName(file.name)
    return {
        service.full_name: {rpc.name: rpc for rpc in _rpcs(service, annotations_pb2.http)}
        for service in described.services_by_name.values()
    }


def _rpcs(service: Any, http: Any) -> Iterator[Rpc]:
    for method in service.methods:
        rule = method.GetOptions().Extensions[http]
        verb = next(verb for verb in _VERBS if rule.HasField(verb))
        yield Rpc(
            service.full_name,
            method.name,
            verb.upper(),
            getattr(rule, verb),
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
            method.client_streaming,
            method.server_streaming,
        )
