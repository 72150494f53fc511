# SPDX-License-Identifier: Apache-2.0
"""A client of the gRPC API, as programs have one that was made from ``e4.proto``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from e4c2.grpc.description import Rpc, services
from tests.c2.served import PATIENCE_S, Served

Metadata = Sequence[tuple[str, str]]


def rpc_of(name: str) -> Rpc:
    """Args: name: as ``Topics.Create``."""
    service, _, method = name.partition(".")
    return services()[f"e4.v1.{service}Service"][method]


@dataclass(frozen=True, slots=True)
class Caller:
    """Calls with one token, or none; ``channel`` may be of either kind."""

    channel: Any
    token: str | None

    def __call__(self, name: str, /, *headers: tuple[str, str], **fields: Any) -> Any:
        """The answer of an RPC to one message, or the answers."""
        rpc = rpc_of(name)
        request = rpc.request(**fields)
        given = iter([request]) if rpc.takes_many else request
        return self.method(name)(given, metadata=self.metadata(*headers), timeout=PATIENCE_S)

    def method(self, name: str) -> Any:
        rpc = rpc_of(name)
        kinds = {
            (False, False): self.channel.unary_unary,
            (False, True): self.channel.unary_stream,
            (True, True): self.channel.stream_stream,
        }
        return kinds[rpc.takes_many, rpc.gives_many](
            f"/{rpc.service}/{rpc.name}",
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.answer.FromString,
        )

    def metadata(self, *headers: tuple[str, str]) -> Metadata:
        return [*([("authorization", f"Bearer {self.token}")] if self.token else []), *headers]


@contextmanager
def calling(c2: Served) -> Iterator[Caller]:
    """With the first token, without TLS."""
    with grpc.insecure_channel(c2.started.grpc) as channel:
        yield Caller(channel, c2.token)


@dataclass
class Refusal:
    """How a call ended."""

    error: Any = None

    @property
    def text(self) -> str:
        return str(self.error.details())


@contextmanager
def refused(code: str, kind: str | None = None) -> Iterator[Refusal]:
    """A call that ends with this code, and this kind in its details, unless the library itself refuses it."""
    refusal = Refusal()
    with pytest.raises(grpc.RpcError) as caught:
        yield refusal
    refusal.error = caught.value
    assert refusal.error.code() == grpc.StatusCode[code], refusal.error
    assert kind in (None, kind and info(refusal.error).reason), refusal.error


def info(error: Any) -> ErrorInfo:
    """What is told to programs."""
    told = _status(error)
    found = ErrorInfo()
    assert told.message == error.details()
    assert told.code == error.code().value[0]
    assert told.details[0].Unpack(found)
    assert found.domain == "e4"
    return found


def retry_s(error: Any) -> int:
    """When to call again, in seconds."""
    found = RetryInfo()
    assert _status(error).details[1].Unpack(found)
    return int(found.retry_delay.seconds)


def _status(error: Any) -> Status:
    return Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
