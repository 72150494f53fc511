# SPDX-License-Identifier: Apache-2.0
"""Connections that nobody holds for nothing: each wait for the other end has a limit, and there are so many at most.

The limits are for those who have no token as for all others: they are reached before any token is looked at.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from dataclasses import dataclass
from typing import Any, cast

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """For how many seconds the other end is waited for."""

    head_s: float = 10
    """From the beginning of a connection to the whole head of its first request; the TLS handshake has as long once more."""
    answer_s: float = 30
    """Until an answer is taken; then, to the whole head of the next request."""


LIMITS = Limits()


class Connection(H11Protocol):
    """Broken off when the other end is waited for too long. uvicorn's own limit is for ends that send nothing after an answer."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], limits: Limits = LIMITS
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._limits = limits
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if certificate := tls and tls.getpeercert(binary_form=True):
            self.app = _Vouched(self.app, ssl.DER_cert_to_PEM_cert(certificate))
        self._limit = self.loop.call_later(self._limits.head_s, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait_or_not()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._wait_or_not()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_or_not()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wait_or_not()

    def _wait_or_not(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete and not self.flow.write_paused:
            self._end_wait()
        elif self._limit is None:
            # not closed in order, for that waits until all is taken that was sent
            self._limit = self.loop.call_later(self._limits.answer_s, self.transport.abort)

    def _end_wait(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = None


class _Vouched:
    """The application, told of the certificate that the other end has shown and TLS has verified."""

    def __init__(self, app: ASGI3Application, pem: str) -> None:
        self._app = app
        self._tls = {"tls": {"client_cert_chain": [pem]}}

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await self._app(cast(Scope, {**scope, "extensions": self._tls}), receive, send)


class Door(socket.socket):
    """A listening socket that lets in only so many at a time; the others it turns away at once.

    They are counted here, as connections in a TLS handshake are known to nobody else, and each takes a file descriptor that the
    database, the broker or the KMS may need.
    """

    def __init__(self, family: int, kind: int, protocol: int, most: int | None = None) -> None:
        super().__init__(family, kind, protocol)
        self._most = _most() if most is None else most
        self._inside: list[socket.socket] = []
        self._is_full = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Raises: ConnectionAbortedError: turned away; event loops take it as if nobody had come."""
        came, address = super().accept()
        self._inside = [each for each in self._inside if each.fileno() >= 0]
        was_full, self._is_full = self._is_full, len(self._inside) >= self._most
        if not self._is_full:
            self._inside.append(came)
            return came, address
        came.close()
        if not was_full:
            log.warning("the API has %d connections open, and turns others away until one is closed", self._most)
        raise ConnectionAbortedError


def _most() -> int:
    """Half of what may be open in this process, for the other half is needed inside."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if files == resource.RLIM_INFINITY else min(CONNECTIONS_MAX, files // 2)
