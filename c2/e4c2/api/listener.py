# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: where it listens, and how it begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from e4c2.api.connection import LIMITS, Connection, Door, Limits
from e4c2.settings import Settings
from e4core import files
from e4core.errors import Conflict, InvalidInput, StorageError

GRACE_S = 10
"""Time for running requests when the server is stopped."""
HEAD_MAX = 16 * 1024
"""Longest head of a request, in bytes."""
BACKLOG = 128
"""Connections that wait to be let in."""


class Listener(uvicorn.Server):
    """Serves until `stop`; signals are the business of whoever runs it."""

    def __init__(
        self, app: ASGIApp, tls: ssl.SSLContext | None, started: Callable[[], object], limits: Limits = LIMITS
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


def bind(settings: Settings) -> socket.socket:
    """A socket bound to the address of the API, on which nobody is heard yet. Raises: Conflict: in use. InvalidInput."""
    host = str(settings.host)
    family = socket.AF_INET6 if settings.host.version == 6 else socket.AF_INET
    # named as TCP, for asyncio turns off Nagle's delay only then: 40 ms with each answer
    made = Door(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, settings.port))
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise Conflict(f"port {settings.port} of {host} is in use; choose another one with E4_PORT") from error
        raise InvalidInput(f"the API cannot listen at {host}, port {settings.port}: {error.strerror}") from error
    return made


def url(settings: Settings, bound: socket.socket) -> str:
    """Where clients of the API find it."""
    scheme = "http" if settings.tls_certificate is None else "https"
    host = f"[{settings.host}]" if settings.host.version == 6 else str(settings.host)
    return f"{scheme}://{host}:{bound.getsockname()[1]}"


def tls(settings: Settings) -> ssl.SSLContext | None:
    """TLS as configured; None: none is. Raises: StorageError: a file cannot be read or used, or the key is not private."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    files.check(settings.tls_key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password=_no_password)
    except OSError as error:
        both = f"{settings.tls_certificate} and {settings.tls_key}"
        raise StorageError(f"{both} cannot be used for TLS: {error.strerror or error}") from error
    return context


def _no_password() -> str:
    raise StorageError("the key of the API is encrypted; it must be a plain PEM file that only its owner can read")
