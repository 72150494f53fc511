# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: where it listens, and how it begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

import uvicorn
from starlette.types import ASGIApp

from e4c2.api.connection import LIMITS, Connection, Door, Limits
from e4c2.settings import Settings
from e4core.errors import Conflict, InvalidInput

GRACE_S = 10
"""Time for running requests when the server is stopped."""
HEAD_MAX = 16 * 1024
"""Longest head of a request, in bytes."""
BACKLOG = 128
"""Connections that wait to be let in."""


class Listener(uvicorn.Server):
    """Serves until `stop`; signals are the business of whoever runs it."""

    def __init__(
        self, app: ASGIApp, tls: ssl.SSLContext | None, started: Callable[[], object] = int, limits: Limits = LIMITS
    ) -> None:
        config = uvicorn.Config(
            app,
            http="h11",  # httptools takes header lines of any length, at quadratic cost: one stranger could stop the C2
            h11_max_incomplete_event_size=HEAD_MAX,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)
        self._tls = tls
        self._tell = started
        self._limits = limits

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn's own gives a TLS handshake a minute
        loop, limit_s = asyncio.get_running_loop(), None if self._tls is None else self._limits.head_s
        self.servers = [
            await loop.create_server(
                self._connection, sock=each, backlog=BACKLOG, ssl=self._tls, ssl_handshake_timeout=limit_s
            )
            for each in sockets or ()
        ]
        self.started = True
        self._tell()

    def stop(self) -> None:
        """Accept nothing more, finish what runs."""
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def _connection(self) -> Connection:
        return Connection(self.config, self.server_state, self.lifespan.state, self._limits)


def bind(address: IPv4Address | IPv6Address, port: int, setting: str = "port") -> socket.socket:
    """A socket bound to an address, on which nobody is heard yet. Raises: Conflict: in use. InvalidInput."""
    host = str(address)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # named as TCP, for asyncio turns off Nagle's delay only then: 40 ms with each answer
    made = Door(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(f"port {port} of {host} is in use; choose another one with E4_{setting.upper()}") from error
        raise InvalidInput(f"the API cannot listen at {host}, port {port}: {error.strerror}") from error
    return made


def url(settings: Settings, bound: socket.socket) -> str:
    """Where clients of the API find it."""
    scheme = "http" if settings.tls_certificate is None else "https"
    host = f"[{settings.host}]" if settings.host.version == 6 else str(settings.host)
    return f"{scheme}://{host}:{bound.getsockname()[1]}"
