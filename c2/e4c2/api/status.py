# SPDX-License-Identifier: Apache-2.0
"""The one table from errors to HTTP, and the one form that every error answer has (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from e4core.errors import (
    ApprovalNeeded,
    AuthenticationFailed,
    Conflict,
    Denied,
    E4Error,
    InvalidInput,
    IssuerUnavailable,
    KmsError,
    KmsUnavailable,
    NotFound,
    NotFresh,
    RateExceeded,
    StorageError,
    Tampered,
    TransportError,
    UnknownKey,
    UnsupportedSuite,
)

MEDIA_TYPE = "application/problem+json"
UNAUTHENTICATED = "unauthenticated"
TOO_LARGE = "too_large"
TOO_SLOW = "too_slow"
ENCODED = "content_encoding"
CHANGED = "changed"
INTERNAL = "internal"
GONE = "gone"
_DETAIL_MAX = 500

BY_CLASS: Mapping[type[E4Error], HTTPStatus] = {
    E4Error: HTTPStatus.INTERNAL_SERVER_ERROR,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    AuthenticationFailed: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFresh: HTTPStatus.CONFLICT,
    RateExceeded: HTTPStatus.TOO_MANY_REQUESTS,
    UnknownKey: HTTPStatus.CONFLICT,
    UnsupportedSuite: HTTPStatus.CONFLICT,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Denied: HTTPStatus.FORBIDDEN,
    Tampered: HTTPStatus.INTERNAL_SERVER_ERROR,
    KmsUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    IssuerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    TransportError: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Error class -> status; what is not named is answered as its nearest ancestor."""

BY_KIND: Mapping[str, HTTPStatus] = {
    UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    TOO_SLOW: HTTPStatus.REQUEST_TIMEOUT,
    ENCODED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    CHANGED: HTTPStatus.PRECONDITION_FAILED,
    GONE: HTTPStatus.GONE,
}
"""Kind -> status, where a class alone does not tell."""

GRPC: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "INVALID_ARGUMENT",
    HTTPStatus.UNAUTHORIZED: "UNAUTHENTICATED",
    HTTPStatus.FORBIDDEN: "PERMISSION_DENIED",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    HTTPStatus.REQUEST_TIMEOUT: "DEADLINE_EXCEEDED",
    HTTPStatus.CONFLICT: "FAILED_PRECONDITION",
    HTTPStatus.GONE: "OUT_OF_RANGE",
    HTTPStatus.PRECONDITION_FAILED: "ABORTED",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "RESOURCE_EXHAUSTED",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "INVALID_ARGUMENT",
    HTTPStatus.UNPROCESSABLE_ENTITY: "INVALID_ARGUMENT",
    HTTPStatus.TOO_MANY_REQUESTS: "RESOURCE_EXHAUSTED",
    HTTPStatus.INTERNAL_SERVER_ERROR: "INTERNAL",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}
"""Status -> name of the code of gRPC: of all that this API answers."""

_HEADERS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": 'Bearer realm="e4"'},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "5"},
}


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="always about:blank: `kind` tells what it is")
    title: str = Field(description="name of the status")
    status: int
    detail: str = Field(description="one sentence for people")
    kind: str = Field(description="stable name for programs")


class Refusal(Problem):
    """An error as the answer to a request."""

    approval: str | None = Field(None, description="id of the approval that the request needs; else it is left out")


def status_of(error: E4Error) -> HTTPStatus:
    """Status for ``error``: by its kind, else by its nearest class in the table."""
    return BY_KIND.get(error.kind) or next(BY_CLASS[kind] for kind in type(error).__mro__ if kind in BY_CLASS)


def of_error(error: E4Error, is_known: bool) -> JSONResponse:
    """The answer to a request that failed with ``error``; what failed inside the C2 is told to its log alone.

    Args: is_known: whoever asks has shown a valid token: only then does an alarm say what was changed.
    """
    status = status_of(error)
    told = isinstance(error, KmsError) and (is_known or not isinstance(error, Tampered))  # operators mend those
    inside = status >= HTTPStatus.INTERNAL_SERVER_ERROR and not told
    headers = {"Retry-After": str(error.wait_s)} if isinstance(error, RateExceeded) and error.wait_s else None
    approval = error.approval if isinstance(error, ApprovalNeeded) else None
    return problem(status, str(type(error).__doc__ if inside else error), error.kind, headers, approval)


def problem_of(error: E4Error) -> Problem:
    """``error`` as it stands in the result of one of many."""
    return _problem(status_of(error), str(error), error.kind)


def problem(
    status: int, detail: str, kind: str, headers: Mapping[str, str] | None = None, approval: str | None = None
) -> JSONResponse:
    known = HTTPStatus(status)
    content = Refusal(**_problem(known, detail, kind).model_dump(), approval=approval)
    answer = JSONResponse(content.model_dump(exclude_none=True), status, {**_HEADERS.get(known, {}), **(headers or {})})
    answer.headers["content-type"] = MEDIA_TYPE
    return answer


def _problem(status: HTTPStatus, detail: str, kind: str) -> Problem:
    text = _printable(detail)[:_DETAIL_MAX]
    return Problem(type="about:blank", title=status.phrase, status=status, detail=text, kind=kind)


def _printable(text: str) -> str:
    # a lone surrogate from a JSON escape cannot be sent as UTF-8
    return text.encode(errors="replace").decode()
