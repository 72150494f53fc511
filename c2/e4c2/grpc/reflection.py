# SPDX-License-Identifier: Apache-2.0
"""Reflection: the description of this API, for whoever may read that of the HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from e4c2.api.http import OPENAPI
from e4c2.grpc.calls import Calls
from e4c2.grpc.description import services

_SERVICES = [
    each.full_name for file in (health_pb2, reflection_pb2) for each in file.DESCRIPTOR.services_by_name.values()
]


class Reflection(reflection_pb2_grpc.ServerReflectionServicer):  # type: ignore[misc]
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._described = ReflectionServicer([*services(), *_SERVICES])

    async def ServerReflectionInfo(self, requests: AsyncIterator[Any], context: Any) -> None:
        await self._calls.guarded(self._answer(requests, context), context)

    async def _answer(self, requests: AsyncIterator[Any], context: Any) -> None:
        await self._calls.get(OPENAPI, context)
        with self._calls.streaming():
            async for answer in self._described.ServerReflectionInfo(requests, context):
                await context.write(answer)
