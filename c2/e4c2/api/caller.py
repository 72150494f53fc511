# SPDX-License-Identifier: Apache-2.0
"""One request on its way to a use case and back."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Concatenate, ParamSpec, Self, TypeVar, cast

import sqlalchemy as sa
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic_core import to_json
from starlette.types import Scope

from e4c2 import approvals, idempotency, principals
from e4c2.access import grants
from e4c2.access.grants import Permission
from e4c2.access.needs import Noting
from e4c2.access.principal import Access, Principal, PrincipalKind
from e4c2.api import conditions
from e4c2.api.conditions import Shown
from e4c2.api.forwarded import source_of
from e4c2.api.four_eyes import Guarded, Wanted, guarded
from e4c2.api.objects import WHOLE, Objects, made, named, outcomes
from e4c2.api.parts import C2
from e4c2.audit import chain
from e4c2.audit.records import Act
from e4c2.idempotency import Answer
from e4c2.locksmith import Locksmith
from e4c2.rows import Realm
from e4core.errors import ApprovalNeeded, Denied, E4Error, InvalidInput, KmsError, StorageError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Found = TypeVar("Found")

UseCase = Callable[Concatenate[sa.Connection, Realm, Found, P], T]
"""Takes what was found of the objects that were named, and nothing that was not admitted."""

IDEMPOTENCY_KEY = "idempotency-key"


class Caller:
    """Who asks, and for what.

    The credentials were looked at before the body came, which takes as long as the caller likes: so they are looked at again before
    anything is done, in the very transaction where there is one; and there what they let do. A token that was revoked does nothing
    from then on.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.principal = cast(Principal, request.state.principal)
        self.c2 = cast(C2, request.app.state.c2)
        self._keeps_answers = True

    def forgetting(self) -> Self:
        """Keep no answer for who sends the request again: payloads are never in the database."""
        self._keeps_answers = False
        return self

    async def read(
        self,
        permission: Permission,
        objects: Objects[Found],
        use_case: UseCase[Found, P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a use case that changes nothing. Raises: Denied. NotFound; what it raises."""

        def look(db: sa.Connection, realm: Realm) -> T:
            found = objects.found(db, realm, self._access(db, realm, permission))
            return use_case(db, realm, found, *args, **kwargs)

        return await self.c2.store.read(look, self.c2.realm)

    async def show(
        self,
        permission: Permission,
        objects: Objects[Found],
        use_case: UseCase[Found, P, Shown],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Response:
        """`read` of one thing that has versions: its answer names this one, and is empty for who has it. Raises: as `read`."""
        found = await self.read(permission, objects, use_case, *args, **kwargs)
        return conditions.shown(self._request, found)

    async def use(
        self,
        permission: Permission,
        objects: Objects[Found],
        use_case: UseCase[Found, P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """`read`, for what is then done outside of the database: it is on record before that begins. Raises: as `read`."""
        attempt = self.act(*named(objects))

        def look(db: sa.Connection, realm: Realm) -> T:
            found = use_case(db, realm, objects.found(db, realm, self._access(db, realm, permission)), *args, **kwargs)
            chain.append(db, realm, attempt)
            return found

        async with self.attempting(attempt):
            return await self.c2.store.write(look, self.c2.realm)

    async def locksmith(self, permission: Permission) -> Locksmith:
        """For what takes several transactions, and KMSes between them; of the whole fleet. Raises: Denied."""
        await self.admit(permission, WHOLE)
        return self.c2.locksmith

    async def admit(self, permission: Permission, objects: Objects[object]) -> None:
        """For what is not done in one transaction: before it begins. Raises: Denied. NotFound."""

        def look(db: sa.Connection, realm: Realm) -> None:
            objects.found(db, realm, self._access(db, realm, permission))

        await self.c2.store.read(look, self.c2.realm)

    async def keys(self, work: Callable[[Locksmith, Act], Awaitable[T]], *objects: str) -> T:
        """Let the locksmith change the keys of the database, by this act; an approval is used up at its beginning.

        Raises: Denied. InvalidInput: on a condition, as keys have no versions that a caller could name; what it raises.
        """
        locksmith, attempt = await self.locksmith(Permission.KMS_CHANGE), self.act(*objects)
        guard = await self._guarded(attempt, await self._digest())
        async with self.attempting(attempt), self._asking(guard, attempt):
            await self.c2.store.read(conditions.require, self._request)
            if guard:
                await self.c2.store.write(self._begin, self.c2.realm, guard, attempt)
            return await work(locksmith, attempt)

    async def change(
        self,
        status: HTTPStatus,
        permission: Permission,
        objects: Objects[Found],
        use_case: UseCase[Found, P, object],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Response:
        """Run a use case that changes something, once for each idempotency key; its result becomes the answer.

        Raises: Denied. NotFound; what it raises.
        """

        def act(db: sa.Connection, realm: Realm) -> Answer:
            access = Noting(self._access(db, realm, permission).principal, permission)

            def once() -> Answer:
                found = objects.found(db, realm, access)
                conditions.require(db, self._request)
                used = [guard.use(db, realm, access)] if guard else []
                result = use_case(db, realm, found, *args, **kwargs)
                answer = Answer(status, b"" if result is None else to_json(result))
                new = [made(objects, _id(answer))] if status == HTTPStatus.CREATED else []
                told = replace(attempt, digest=chain.digest(realm, digest))
                for outcome, about in outcomes(objects, result).items():
                    chain.append_all(db, realm, replace(told, objects=(*about, *new, *used)), outcome)
                return answer

            may = hashlib.sha256(grants.dump(access.principal.grants)).digest()
            return idempotency.once(db, realm, asked, may, once)

        digest = await self._digest()
        asked, attempt = self._asked(digest), self.act(*named(objects))
        guard = await self._guarded(attempt, digest)
        async with self.attempting(attempt), self._asking(guard, attempt):
            answer = await self.c2.store.write(act, self.c2.realm)
        self.c2.courier.wake()
        return self._respond(answer)

    def _access(self, db: sa.Connection, realm: Realm, permission: Permission) -> Access:
        """Raises: Denied."""
        self.principal = principals.again(db, realm, self.principal)
        return Access(self.principal, permission)

    async def _guarded(self, attempt: Act, digest: bytes) -> Guarded | None:
        return await guarded(self._request, self.c2.four_eyes_above, attempt.action, digest)

    @asynccontextmanager
    async def _asking(self, guard: Guarded | None, attempt: Act) -> AsyncIterator[None]:
        """Around what may need an approval. Raises: ApprovalNeeded: it has been asked for."""
        try:
            yield
        except Wanted as wanted:
            assert guard
            terms = (self.principal, guard.asked, wanted.needs, attempt)
            raise ApprovalNeeded(approval=await self.c2.store.write(approvals.ask, self.c2.realm, *terms)) from None

    def _begin(self, db: sa.Connection, realm: Realm, guard: Guarded, attempt: Act) -> None:
        """What takes several transactions."""
        access = Noting(self._access(db, realm, Permission.KMS_CHANGE).principal, Permission.KMS_CHANGE)
        WHOLE.found(db, realm, access)
        chain.append(db, realm, attempt.step("approval_used", guard.use(db, realm, access), *attempt.objects))

    def act(self, *objects: str) -> Act:
        """What this request is about to do, for the audit log."""
        return act_of(self._request.scope).of(*objects)

    @asynccontextmanager
    async def attempting(self, attempt: Act) -> AsyncIterator[None]:
        """Around a change: one that is refused is on record too; who is not let in is counted (`e4c2.api.gate`).

        So is who has an enrolment token, which many devices hold: they fill no audit log, nor are refused as often as they like.
        """
        try:
            yield
        except E4Error as error:
            if self.principal.kind is PrincipalKind.ENROLMENT:
                self.c2.limits.refused(attempt.source, str(self.principal))
            if not isinstance(error, Denied):
                await self._record(attempt, error.kind)
            raise

    async def _record(self, attempt: Act, outcome: str) -> None:
        if self.principal.kind is PrincipalKind.ENROLMENT:
            return self.c2.notary.refusals.count_act(outcome, attempt)
        try:
            await self.c2.store.write(chain.append, self.c2.realm, attempt, outcome)
        except (KmsError, StorageError) as error:  # why it was refused is what the caller is to hear
            log.error("a refusal (%s) is not in the audit log: %s", outcome, error)

    def _asked(self, digest: bytes) -> idempotency.Request | None:
        keys = self._request.headers.getlist(IDEMPOTENCY_KEY)
        if not keys or not self._keeps_answers:
            return None
        if len(keys) > 1:
            raise InvalidInput("give one Idempotency-Key")
        return idempotency.Request(str(self.principal), keys[0], digest)

    async def _digest(self) -> bytes:
        url = self._request.scope
        return idempotency.digest(url["method"], url["path"], url["query_string"], await self._request.body())

    def _respond(self, answer: Answer) -> Response:
        headers = conditions.tagged(answer.body)
        if answer.status == HTTPStatus.CREATED:
            headers["Location"] = f"{self._request.scope['path']}/{_id(answer)}"
        return Response(answer.body, answer.status, headers, "application/json" if answer.body else None)


def act_of(scope: Scope) -> Act:
    """What somebody who is known asks for, before it is known of what."""
    state, route = scope["state"], scope.get("route")
    principal: Principal = state["principal"]
    action = operation_id(route) if isinstance(route, APIRoute) else ""
    return Act(action, f"{principal} {principal.name}", source_of(scope), state["request_id"])


def operation_id(route: APIRoute) -> str:
    """What a route is called in the description of the API, and in the audit log."""
    return f"{route.tags[0]}_{route.name.strip('_')}"


def _id(answer: Answer) -> str:
    """Of what was made."""
    return str(json.loads(answer.body)["id"])


async def _caller(request: Request) -> Caller:
    return Caller(request)


Asking = Annotated[Caller, Depends(_caller)]
