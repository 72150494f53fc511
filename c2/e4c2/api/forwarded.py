# SPDX-License-Identifier: Apache-2.0
"""From where a request comes that a balancer has passed on: who guesses tokens is told apart from who does not, and is on record.

A balancer says it in ``X-Forwarded-For``, as anybody may: so only those in the settings are believed, and of all that they pass on
only the end, which they have put there themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

_HEADER = b"x-forwarded-for"


class Forwarded:
    """ASGI middleware, outside of all that looks at ``client``."""

    def __init__(self, app: ASGIApp, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._app, self._trusted = app, trusted
        self._is_told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("client"):
            host, port = scope["client"]
            scope["client"] = (self._source(host, scope["headers"]), port)
        await self._app(scope, receive, send)

    def _source(self, host: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The last address that is not trusted, or the first of all if each one is; what is no address ends the search."""
        told = b",".join(value for name, value in headers if name == _HEADER).decode("latin-1").split(",")
        while told and self._trusts(host):
            if (before := _address(last := told.pop())) is None:
                self._tell(host, last)
                break
            host = str(before)
        return host

    def _tell(self, balancer: str, written: str) -> None:
        """Once, as each request is so: of a balancer that writes ports nobody would see why it is the source of all."""
        if written.strip() and not self._is_told:
            self._is_told = True
            log.warning(
                "the balancer %s writes what is no address into X-Forwarded-For, as one with a port is none, so all that it"
                " passes on counts as its own; let it write the address alone",
                balancer,
            )

    def _trusts(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(address in network for network in self._trusted)


def source_of(scope: Scope) -> str:
    """The address that a request comes from; empty: a socket of this machine has none."""
    return (scope.get("client") or ("",))[0]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """None: it is none, as of a socket of this machine."""
    try:
        found = ip_address(text.strip())
    except ValueError:
        return None
    return (found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found
