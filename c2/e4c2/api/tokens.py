# SPDX-License-Identifier: Apache-2.0
"""``/v1/tokens``: who may speak to this API."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from e4c2 import tokens
from e4c2.api import bearer
from e4c2.api.caller import Asking
from e4c2.api.values import Body, Id, Page, Paging, page
from e4c2.rows import Realm
from e4c2.tokens import Token

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

_ID = r"[0-9a-f]{32}"
_CENTURY_S = 100 * 366 * 24 * 3600


class NewToken(Body):
    name: str = Field(description="what it is for; several may have the same")
    lifetime_s: float | None = Field(
        None, gt=0, le=_CENTURY_S, description="in seconds; without it the token never expires"
    )


class IssuedToken(BaseModel):
    id: str
    name: str
    created: float
    expires: float | None
    token: str = Field(description="shown now and never again")


@router.post("", status_code=201, response_model=IssuedToken, summary="Make a token")
async def create(asking: Asking, new: NewToken) -> Response:
    return await asking.change(HTTPStatus.CREATED, _create, new.name, new.lifetime_s)


@router.get("", summary="List tokens, without their texts")
async def list_(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Token]:
    rows = await asking.read(tokens.page, query.after(_ID), query.limit + 1)
    return page(rows, query.limit, lambda token: token.id)


@router.get("/{token}", summary="Show a token, without its text")
async def show(asking: Asking, token: Id) -> Token:
    return await asking.read(bearer.show, token)


@router.delete("/{token}", status_code=204, summary="Revoke a token, at once")
async def revoke(asking: Asking, token: Id) -> Response:
    return await asking.change(HTTPStatus.NO_CONTENT, tokens.revoke, token)


def _create(db: sa.Connection, realm: Realm, name: str, lifetime_s: float | None) -> dict[str, Any]:
    token, text = tokens.create(db, realm, name, lifetime_s)
    return {**asdict(token), "token": text}
