# SPDX-License-Identifier: Apache-2.0
"""The door of the API: who is not known gets no further, whatever the path.

It stands before routing and parsing, so that nothing can be left open by a forgotten line, and a stranger's body is never read.
"""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from e4c2 import principals
from e4c2.access.principal import Principal
from e4c2.api.bodies import BODY_S, Bodies, longest
from e4c2.api.caller import act_of
from e4c2.api.credentials import Given
from e4c2.api.forwarded import source_of
from e4c2.api.parts import C2
from e4c2.api.status import ENCODED, INTERNAL, of_error, problem, status_of
from e4core.errors import Denied, E4Error, InvalidInput, KmsUnavailable

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/livez", "/readyz", "/v1/health", "/v1/ready"})
"""Paths that need no token; they answer yes or no, and take no body."""

_COUNTED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
"""Whoever gets these may ask as often as they like: the audit log has one record a minute for each of them."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """ASGI middleware: authenticates, limits bodies, and is the border at which errors become answers."""

    def __init__(self, app: ASGIApp, c2: C2, body_s: float = BODY_S) -> None:
        self._app = app
        self._c2 = c2
        self._bodies = Bodies(body_s)
        self._told: dict[str, set[str]] = {path: set() for path in OPEN_PATHS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answering = _Answering(send, has_body=scope["method"] != "HEAD")
        if scope["method"] == "HEAD":
            scope["method"] = "GET"  # in place, for whoever looks at the route afterwards
        try:
            await self._admit(scope, receive, answering)
        except E4Error as error:
            if status_of(error) in _COUNTED:
                self._count(scope, error)
            if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR and self._is_news(scope["path"], error):
                log.error("%s %r: %s", scope["method"], scope["path"], error)
            await answering.instead(scope, receive, of_error(error, "principal" in scope.get("state", {})))
        # The border of the API: a bug is answered, and its traceback logged without texts, which may quote parameters.
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s %r: unexpected %s\n%s", scope["method"], scope["path"], type(error).__name__, where)
            text = "something unexpected went wrong in the C2; its log says where"
            await answering.instead(scope, receive, problem(HTTPStatus.INTERNAL_SERVER_ERROR, text, INTERNAL))

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in OPEN_PATHS:
            await self._app(scope, _replayed(b"", receive), send)
            return self._told[scope["path"]].clear()
        scope.setdefault("state", {})["principal"] = principal = await self._authenticate(scope)
        if any(name == b"content-encoding" for name, _ in scope["headers"]):
            raise InvalidInput("a body is sent as it is, without Content-Encoding", kind=ENCODED)
        async with self._bodies.read(receive, longest(scope, principal)) as body:
            return await self._app(scope, _replayed(body, receive), send)

    def _count(self, scope: Scope, error: E4Error) -> None:
        refusals = self._c2.notary.refusals
        if "principal" in scope.get("state", {}):
            refusals.count_act(error.kind, act_of(scope))
        else:
            refusals.count(error.kind, source_of(scope))

    def _is_news(self, path: str, error: E4Error) -> bool:
        """Whether to log it: an outage that anybody may ask for, as often as he likes, is told once."""
        told = self._told.get(path, set())
        is_news = error.kind not in told
        told.add(error.kind)
        return is_news

    async def _authenticate(self, scope: Scope) -> Principal:
        given, source, limits = Given.of(scope), source_of(scope), self._c2.limits
        locked = limits.lockout(source, given.text)
        if locked and not given.is_signed(self._c2.issuer):
            raise locked
        try:
            shown = await given.proved(self._c2.issuer, self._c2.realm.clock())
            who = await self._c2.store.read(principals.authenticate, self._c2.realm, shown)
        except Denied:
            if locked:
                raise locked from None
            if given.text:  # nothing shown is nothing guessed
                limits.failed(source, given.text)
            raise
        except KmsUnavailable as error:  # the keys are gone, so nobody can be known
            raise KmsUnavailable(f"{error}{self._c2.locksmith.failing}") from error
        limits.check_principal(source, given.text, str(who))
        return who


class _Answering:
    """Sends an answer, with the headers that every answer has."""

    def __init__(self, send: Send, has_body: bool) -> None:
        """Args: has_body: false in answers to HEAD, which are else as those to GET."""
        self._send = send
        self._has_body = has_body
        self._begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            MutableHeaders(scope=message).update(_HEADERS)
        await self._send(message if self._has_body or "body" not in message else {**message, "body": b""})

    async def instead(self, scope: Scope, receive: Receive, answer: ASGIApp) -> None:
        """Send ``answer``, unless another one is half sent: then the server breaks the connection."""
        if not self._begun:
            await answer(scope, receive, self)


def _replayed(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
