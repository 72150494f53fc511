# SPDX-License-Identifier: Apache-2.0
"""The gRPC server: where it listens, what it serves, and how it begins and ends."""

from __future__ import annotations

import asyncio

import grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc
from starlette.types import ASGIApp

from e4c2.api.bodies import BODY_MAX
from e4c2.api.connection import CONNECTIONS_MAX, LIMITS
from e4c2.api.listener import GRACE_S, HEAD_MAX
from e4c2.grpc.calls import CALLS_MAX, Calls
from e4c2.grpc.certificates import credentials
from e4c2.grpc.description import services
from e4c2.grpc.health import Health
from e4c2.grpc.reflection import Reflection
from e4c2.settings import Settings
from e4core.errors import Conflict

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else two servers share a port, and neither knows
    ("grpc.max_receive_message_length", BODY_MAX),
    ("grpc.max_metadata_size", HEAD_MAX),
    ("grpc.max_concurrent_streams", 100),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS_MAX // 2),
    ("grpc.server_handshake_timeout_ms", int(LIMITS.head_s * 1000)),
    ("grpc.max_connection_idle_ms", 5 * 60 * 1000),
    ("grpc.keepalive_time_ms", 60 * 1000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10 * 1000),
)


class Server:
    """Bound as soon as it is made. ``port``: where, even if any was asked for."""

    def __init__(self, settings: Settings) -> None:
        """Raises: Conflict: the port is in use. StorageError: of the certificate."""
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
        host = f"[{settings.host}]" if settings.host.version == 6 else str(settings.host)
        address, tls = f"{host}:{settings.grpc_port}", credentials(settings)
        try:
            port = self._server.add_secure_port(address, tls) if tls else self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise Conflict(
                f"gRPC cannot listen at {address}: it is in use; choose another port with E4_GRPC_PORT"
            ) from error
        self.address = f"{host}:{port}"

    async def start(self, app: ASGIApp) -> None:
        """Serve what ``app`` serves, the C2's own HTTP application."""
        self._calls = Calls(app)
        for service, rpcs in services().items():
            methods = {
                name: grpc.stream_stream_rpc_method_handler(self._calls.handler(rpc)) for name, rpc in rpcs.items()
            }
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        self._server.add_generic_rpc_handlers((Health(self._calls).handlers(),))
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(self._calls), self._server)
        await self._server.start()

    async def stop(self) -> None:
        """Accept nothing more, finish what runs, end the streams."""
        await asyncio.gather(self._server.stop(GRACE_S), self._calls.stop())

    async def abort(self) -> None:
        """Close it at once, whatever runs."""
        await self._server.stop(None)
