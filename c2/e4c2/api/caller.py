# SPDX-License-Identifier: Apache-2.0
"""One request on its way to a use case and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Concatenate, ParamSpec, TypeVar, cast

import sqlalchemy as sa
from fastapi import Depends, Request, Response
from pydantic_core import to_json

from e4c2 import idempotency
from e4c2.api.bearer import require
from e4c2.api.parts import C2
from e4c2.idempotency import Answer
from e4c2.locksmith import Locksmith
from e4c2.rows import Realm
from e4c2.tokens import Token
from e4core.errors import InvalidInput

P = ParamSpec("P")
T = TypeVar("T")

UseCase = Callable[Concatenate[sa.Connection, Realm, P], T]

IDEMPOTENCY_KEY = "idempotency-key"


class Caller:
    """Who asks, and for what.

    The token was looked at before the body came, which takes as long as the caller likes: so it is looked at again before
    anything is done for it, in the very transaction where there is one. A token that was revoked does nothing from then on.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._token = cast(Token, request.state.token)
        self.c2 = cast(C2, request.app.state.c2)

    async def read(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a use case that changes nothing. Raises: Denied; what it raises."""

        def look(db: sa.Connection, realm: Realm) -> T:
            require(db, realm, self._token.id)
            return use_case(db, realm, *args, **kwargs)

        return await self.c2.store.read(look, self.c2.realm)

    async def locksmith(self) -> Locksmith:
        """For what takes several transactions, and KMSes between them. Raises: Denied."""
        await self.c2.store.read(require, self.c2.realm, self._token.id)
        return self.c2.locksmith

    async def change(
        self, status: HTTPStatus, use_case: UseCase[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> Response:
        """Run a use case that changes something, once for each idempotency key; its result becomes the answer.

        Raises: Denied; what it raises.
        """

        def act(db: sa.Connection, realm: Realm) -> Answer:
            require(db, realm, self._token.id)

            def once() -> Answer:
                result = use_case(db, realm, *args, **kwargs)
                return Answer(status, b"" if result is None else to_json(result))

            return idempotency.once(db, realm, asked, once)

        asked = await self._asked()
        answer = await self.c2.store.write(act, self.c2.realm)
        self.c2.courier.wake()
        return self._respond(answer)

    async def _asked(self) -> idempotency.Request | None:
        keys = self._request.headers.getlist(IDEMPOTENCY_KEY)
        if not keys:
            return None
        if len(keys) > 1:
            raise InvalidInput("give one Idempotency-Key")
        url = self._request.scope
        digest = idempotency.digest(url["method"], url["path"], url["query_string"], await self._request.body())
        return idempotency.Request(self._token.id, keys[0], digest)

    def _respond(self, answer: Answer) -> Response:
        headers = {}
        if answer.status == HTTPStatus.CREATED:
            headers["Location"] = f"{self._request.scope['path']}/{json.loads(answer.body)['id']}"
        return Response(answer.body, answer.status, headers, "application/json" if answer.body else None)


async def _caller(request: Request) -> Caller:
    return Caller(request)


Asking = Annotated[Caller, Depends(_caller)]


def by_id(
    name_of: Callable[[sa.Connection, str], str], use_case: Callable[Concatenate[sa.Connection, Realm, str, P], T]
) -> Callable[Concatenate[sa.Connection, Realm, str, P], T]:
    """``use_case``, which takes a name, for an id: both looked at in one transaction."""

    def run(db: sa.Connection, realm: Realm, identity: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return use_case(db, realm, name_of(db, identity), *args, **kwargs)

    return run
