# SPDX-License-Identifier: Apache-2.0
"""``grpc.health.v1``: serving as long as the C2 is ready. As with HTTP, it needs no token."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from e4c2.grpc.calls import Calls
from e4c2.grpc.description import services
from e4c2.grpc.failure import Failure

READY = "/v1/ready"
PERIOD_S = 2.0
"""Time between two looks, in seconds, for those who watch."""


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Of the whole, whose name is empty, and of each service, which serves as the whole does."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._names = {"", *services()}

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:
        if request.service not in self._names:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return HealthCheckResponse(status=await self._status(context))

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:
        await self._calls.guarded(self._watch(request, context), context)

    async def _watch(self, request: HealthCheckRequest, context: Any) -> None:
        last = None
        with self._calls.streaming():
            while True:
                is_known = request.service in self._names
                status = await self._status(context) if is_known else HealthCheckResponse.SERVICE_UNKNOWN
                if status != last:
                    await context.write(HealthCheckResponse(status=status))
                last = status
                await asyncio.sleep(PERIOD_S)

    async def _status(self, context: Any) -> int:
        try:
            await self._calls.get(READY, context)
        except Failure:
            return int(HealthCheckResponse.NOT_SERVING)
        return int(HealthCheckResponse.SERVING)
