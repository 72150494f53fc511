# SPDX-License-Identifier: Apache-2.0
"""``/v1/identities``: what those may do whom an issuer of OpenID Connect or a CA vouches for."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import Field

from e4c2 import identities
from e4c2.access import marks, patterns
from e4c2.access.grants import Grant, Permission
from e4c2.access.marks import FoundBy, Mark
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN
from e4c2.api.tokens import GRANTS_MAX, NewGrant
from e4c2.api.values import Body, Id, Page, Paging, page
from e4c2.identities import Identity
from e4c2.rows import Realm

router = APIRouter(prefix="/v1/identities", tags=["identities"])

_ID = r"[0-9a-f]{32}"


class NewIdentity(Body):
    name: str = Field(description="of whom it is; several may have the same")
    found_by: FoundBy = Field(
        strict=False,
        description="what it names them by: `subject` or `group` of an OIDC token, `san` or `fingerprint` of a certificate",
    )
    value: str = Field(
        description="subject, group, `dns:NAME`, `uri:URI` or `email:ADDRESS` in a certificate, or its SHA-256 in hexadecimal"
    )
    issuer: str | None = Field(
        None, description="URL of who issues the OIDC tokens, as it is in them; null: a certificate"
    )
    grants: list[NewGrant] = Field(
        max_length=GRANTS_MAX, description="what it lets do; no more than who makes it may do"
    )


@router.post("", status_code=201, response_model=Identity, summary="Make an identity")
async def create(asking: Asking, new: NewIdentity) -> Response:
    """403 `forbidden`: a grant is beyond those of who makes it. 409 `conflict`: there is one for the same already."""
    mark = marks.parse(new.found_by, new.issuer or "", new.value)
    grants = tuple(Grant(each.role, patterns.check(each.clients), patterns.check(each.topics)) for each in new.grants)
    made = objects.NewIdentity(new.name, grants)
    return await asking.change(HTTPStatus.CREATED, Permission.TOKENS_ISSUE, made, _create, mark)


@router.get("", summary="List identities")
async def list_(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Identity]:
    rows = await asking.read(Permission.TOKENS_READ, SEEN, identities.page, query.after(_ID), query.limit + 1)
    return page(rows, query.limit, lambda each: each.id)


@router.get("/{identity}", response_model=Identity, summary="Show an identity")
async def show(asking: Asking, identity: Id) -> Response:
    return await asking.show(Permission.TOKENS_READ, objects.Identity(identity), identities.show)


@router.delete("/{identity}", status_code=204, summary="Remove an identity, at once")
async def remove(asking: Asking, identity: Id) -> Response:
    """Who is found by another one, or has a token of this C2, is let in by that."""
    return await asking.change(
        HTTPStatus.NO_CONTENT, Permission.TOKENS_REVOKE, objects.Identity(identity), identities.remove
    )


def _create(db: sa.Connection, realm: Realm, made: tuple[str, tuple[Grant, ...]], mark: Mark) -> dict[str, Any]:
    name, grants = made
    return asdict(identities.create(db, realm, name, mark, grants))
