# SPDX-License-Identifier: Apache-2.0
"""``/v1/tokens``: who may speak to this API, and what they may do."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from e4c2 import tokens
from e4c2.access import patterns
from e4c2.access.grants import Grant, Permission, Role
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN
from e4c2.api.values import Body, Id, Page, Paging, page
from e4c2.rows import Realm
from e4c2.tokens import Token

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

_ID = r"[0-9a-f]{32}"
_CENTURY_S = 100 * 366 * 24 * 3600
GRANTS_MAX = 100


class NewGrant(Body):
    role: Role = Field(strict=False, description="what it lets do to those clients and topics")
    clients: list[str] = Field(
        max_length=patterns.MOST, description="names, and beginnings of names that end in *; * is all"
    )
    topics: list[str] = Field(max_length=patterns.MOST, description="as `clients`")


class NewToken(Body):
    name: str = Field(description="what it is for; several may have the same")
    grants: list[NewGrant] = Field(
        max_length=GRANTS_MAX, description="what it lets do; no more than who makes it may do"
    )
    lifetime_s: float | None = Field(
        None, gt=0, le=_CENTURY_S, description="in seconds; without it the token never expires"
    )


class IssuedToken(BaseModel):
    id: str
    name: str
    created: float
    expires: float | None
    grants: list[Grant]
    generation: int
    token: str = Field(description="shown now and never again")


@router.post("", status_code=201, response_model=IssuedToken, summary="Make a token")
async def create(asking: Asking, new: NewToken) -> Response:
    """403 `forbidden`: a grant is beyond those of who makes it."""
    grants = tuple(Grant(each.role, patterns.check(each.clients), patterns.check(each.topics)) for each in new.grants)
    made = objects.NewToken(new.name, grants)
    return await asking.change(HTTPStatus.CREATED, Permission.TOKENS_ISSUE, made, _create, new.lifetime_s)


@router.get("", summary="List tokens, without their texts")
async def list_(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Token]:
    rows = await asking.read(Permission.TOKENS_READ, SEEN, tokens.page, query.after(_ID), query.limit + 1)
    return page(rows, query.limit, lambda token: token.id)


@router.get("/{token}", response_model=Token, summary="Show a token, without its text")
async def show(asking: Asking, token: Id) -> Response:
    return await asking.show(Permission.TOKENS_READ, objects.Token(token), tokens.show)


@router.delete("/{token}", status_code=204, summary="Revoke a token, at once")
async def revoke(asking: Asking, token: Id) -> Response:
    return await asking.change(HTTPStatus.NO_CONTENT, Permission.TOKENS_REVOKE, objects.Token(token), tokens.revoke)


def _create(
    db: sa.Connection, realm: Realm, made: tuple[str, tuple[Grant, ...]], lifetime_s: float | None
) -> dict[str, Any]:
    name, grants = made
    token, text = tokens.create(db, realm, name, lifetime_s, grants)
    return {**asdict(token), "token": text}
