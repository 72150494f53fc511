# SPDX-License-Identifier: Apache-2.0
"""Every request, whatever became of it: known by an id, and told to the log once, when it is answered."""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from e4c2.api.parts import C2
from e4c2.telemetry.logs import FIELDS
from e4c2.telemetry.requests import identify, request_id
from e4c2.telemetry.tracing import Span

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STREAM = "text/event-stream"
NO_ROUTE = "none"
"""Of a request that was refused before its path was looked at, or that fits no route."""


class Observed:
    """ASGI middleware, outside of all others. Paths and queries are told to nobody, for they hold names; routes are."""

    def __init__(self, app: ASGIApp, c2: C2) -> None:
        self._app = app
        self._c2 = c2

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        identity = identify(headers.get(REQUEST_ID))
        with self._c2.tracer.request(method_of(scope), headers.get("traceparent"), identity) as span:
            return await self._answer(scope, receive, send, identity, span)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, identity: str, span: Span) -> None:
        scope.setdefault("state", {})["request_id"] = identity
        inside = request_id.set(identity)
        begun, status, is_stream = time.perf_counter(), 0, False

        async def answer(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(scope=message)
                headers[REQUEST_ID] = identity
                is_stream = headers.get("content-type", "").startswith(STREAM)
                if is_stream:  # what is read for it, perhaps for months, is no part of one trace
                    span.answered(route_of(scope), status)
                    span.end()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - begun
            self._c2.metrics.answered(method_of(scope), route_of(scope), status, seconds, is_stream)
            span.answered(route_of(scope), status)
            _tell(scope, status, seconds)
            request_id.reset(inside)


def _tell(scope: Scope, status: int, seconds: float) -> None:
    """Args: status: 0: there was no answer, as the other end had gone, or the C2 was about to end."""
    told: dict[str, Any] = {"method": method_of(scope), "route": route_of(scope), "status": status}
    log.info("%(method)s %(route)s: %(status)s", told, extra={FIELDS: {**told, "seconds": round(seconds, 6)}})


def route_of(scope: Scope) -> str:
    """The template of its path, of which there are only so many."""
    return getattr(scope.get("route"), "path", NO_ROUTE)


def method_of(scope: Scope) -> str:
    """Its method, or one word for all that are made up."""
    return scope["method"] if scope["method"] in METHODS else "other"
