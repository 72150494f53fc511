# SPDX-License-Identifier: Apache-2.0
"""The application: its routes, its description, and what it says to requests that fit none."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, cast

from fastapi import Depends, FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.routing import Match

from e4c2.api import (
    approvals,
    audit,
    batch,
    clients,
    commands,
    enrolment,
    events,
    health,
    identities,
    kms,
    links,
    monitoring,
    own,
    plans,
    recovery,
    tokens,
    topics,
    traffic,
    webhooks,
)
from e4c2.api.caller import operation_id
from e4c2.api.gate import Gate
from e4c2.api.observed import Observed
from e4c2.api.parts import C2
from e4c2.api.status import MEDIA_TYPE, Refusal, problem
from e4core.errors import InvalidInput

OPENAPI = "/v1/openapi.json"

ROUTERS = (
    own.router,
    audit.router,
    batch.clients_router,
    recovery.router,
    clients.router,
    links.router,
    batch.topics_router,
    topics.router,
    traffic.router,
    plans.router,
    commands.router,
    events.router,
    webhooks.router,
    tokens.router,
    identities.router,
    approvals.router,
    enrolment.tokens_router,
    enrolment.router,
    kms.router,
    monitoring.router,
    health.router,
    health.probes,
)
# the framework's own tells paths, queries and texts of errors to whatever is configured in this process (`e4c2.telemetry.tracing`)
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
_ERROR: dict[int | str, dict[str, Any]] = {
    "default": {"description": "An error", "content": {MEDIA_TYPE: {"schema": Refusal.model_json_schema()}}}
}
_TEXT = """
Changes that send commands answer 202 with an operation: ask for it again to see how far its commands are.

A POST, PATCH or DELETE with the header `Idempotency-Key` is done once in 24 hours, however often it is sent, and gets the same
answer. Not so below `/v1/kms`, where a change that is sent again finds itself done, and says so; nor where messages are protected
and unprotected, as no payload is ever kept.
Every error is a problem (RFC 9457), whose `kind` is stable.

Where the C2 wants four eyes for what destroys, such a request is answered 403 `approval_needed` with the id of an approval. When
another principal has approved it, send the very same request again with the header `E4-Approval: ID`: once, within an hour.
"""
_KINDS = {HTTPStatus.BAD_REQUEST: InvalidInput.kind}


def build(c2: C2) -> FastAPI:
    """The ASGI application for ``c2``."""
    app = FastAPI(
        title="E4 C2",
        version=version("e4core"),
        description=_TEXT,
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
        generate_unique_id_function=operation_id,
        dependencies=[
            Security(HTTPBearer(auto_error=False, description="a token: e4_..., or one of the issuer of the settings")),
            Depends(_require_no_unknown_parameters),
        ],
        responses=_ERROR,
        exception_handlers={HTTPException: _http_problem, RequestValidationError: _validation_problem},
    )
    app.state.c2, app.state.health = c2, health.Health(c2)
    app.state.monitoring = monitoring.Monitoring(c2, app.state.health)
    app.add_middleware(Gate, c2=c2)
    app.add_middleware(Observed, c2=c2)
    for router in ROUTERS:
        app.include_router(router)
    return app


async def _require_no_unknown_parameters(request: Request) -> None:
    """For routes that take none; those that take some say themselves what is unknown."""
    takes = cast(APIRoute, request.scope["route"]).dependant.query_params
    if request.query_params and not takes:
        raise InvalidInput(f"query.{next(iter(request.query_params))}: Extra inputs are not permitted")


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if status != HTTPStatus.METHOD_NOT_ALLOWED:
        return problem(status, str(error.detail), _KINDS.get(status, status.name.lower()), error.headers)
    allow = {"Allow": ", ".join(sorted(_methods(request)))}
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=allow)
    return problem(
        status, f"{request.method} is no method of this path; it has: {allow['Allow']}", status.name.lower(), allow
    )


def _methods(request: Request) -> set[str]:
    """All methods of the path of a request, of whose routes each knows its own alone."""
    scope = {**request.scope, "method": "OPTIONS"}
    found = {"OPTIONS"}
    for route in (each for router in ROUTERS for each in router.routes):
        if isinstance(route, APIRoute) and route.matches(scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found | {"HEAD"} if "GET" in found else found


async def _validation_problem(_request: Request, error: Exception) -> Response:
    """The first thing that is wrong, never with the value that was given, which may be a key."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    malformed = first["type"] == "json_invalid"
    status = HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.UNPROCESSABLE_ENTITY
    return problem(status, f"{_place(first['loc'])}: {first['msg']}", InvalidInput.kind)


def _place(parts: Iterable[object]) -> str:
    return ".".join(str(part) for part in parts)
