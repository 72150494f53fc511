# SPDX-License-Identifier: Apache-2.0
"""``/v1/c2``: the C2 itself."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from e4c2 import c2keys, clients, standing
from e4c2.access.grants import Grant, Permission
from e4c2.access.principal import Access, PrincipalKind
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN, WHOLE, no_object
from e4c2.api.values import Body, Page, Paging, page
from e4c2.c2keys import C2Key
from e4c2.clients import Client
from e4c2.commands import Operation
from e4c2.model import Reason
from e4c2.rows import Realm
from e4c2.standing import KeyChange
from e4c2.token_keys import Pair, PairNeeded

router = APIRouter(prefix="/v1", tags=["c2"])

_PUBLIC_OPTIONS = ("version", "qos")
"""Options of a broker's URI that devices need too; others name files of this machine, or more."""


class About(BaseModel):
    suite: str
    wire_name: str = Field(description="names the algorithms: suites with the same one understand each other")
    format: int
    symmetric: bool = Field(description="true: clients are registered with their secret key, and there are no links")
    c2_keys: list[C2Key] = Field(description="all versions, oldest first; none in symmetric suites")
    broker: str = Field(description="where devices meet, without user and credentials")


class NewC2Key(Body):
    reason: Reason = Field(
        strict=False,
        description="compromised: the former keys are never used again, every client is suspended, every topic re-keyed",
    )


class Finish(Body):
    force: bool = Field(False, description="with clients left that have not confirmed; they stay reachable")


class Known(BaseModel):
    kind: PrincipalKind = Field(description="what was shown to be known")
    id: str
    name: str
    grants: list[Grant] = Field(description="what this principal may do; a permission is needed within one of them")


@router.get("/self", summary="Who asks, and what they may do")
async def show_self(asking: Asking) -> Known:
    return await asking.read(Permission.SELF_READ, SEEN, _self)


@router.get("/c2", summary="Suite, broker and public keys of this C2")
async def show(asking: Asking) -> About:
    suite = asking.c2.realm.suite
    return About(
        suite=suite.name,
        wire_name=suite.wire_name,
        format=suite.format,
        symmetric=suite.is_symmetric,
        c2_keys=await asking.read(Permission.C2_READ, SEEN, no_object(c2keys.all_versions)),
        broker=public_uri(asking.c2.broker),
    )


@router.get("/c2/laggards", summary="List the active clients that are not known to hold the newest C2 key, by name")
async def list_laggards(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Client]:
    behind = await asking.read(Permission.CLIENTS_READ, SEEN, _laggards, query.after(), query.limit + 1)
    return page(behind, query.limit, lambda client: client.name)


@router.get("/key-changes", summary="List the devices that are to get another key and have not confirmed it, by name")
async def list_key_changes(asking: Asking, query: Annotated[Paging, Query()]) -> Page[KeyChange]:
    under_way = await asking.read(Permission.CLIENTS_READ, SEEN, _key_changes, query.after(), query.limit + 1)
    return page(under_way, query.limit, lambda change: change.name)


@router.post(
    "/c2/key",
    status_code=202,
    response_model=Operation,
    summary="Make a new C2 key, and send it to all clients; or suspend them all, as the present one is compromised",
)
async def new_key(asking: Asking, new: NewC2Key) -> Response:
    """409 `conflict`: a routine change is under way. 409 `unsupported`: in symmetric suites. 503 `kms_unavailable`: the token."""
    made: Pair | None = None
    while True:
        try:
            return await asking.change(
                HTTPStatus.ACCEPTED, Permission.C2_REKEY, WHOLE, no_object(c2keys.new), new.reason, made
            )
        except PairNeeded as needed:
            made = await asyncio.to_thread(needed.make)


@router.post("/c2/key/finish", response_model=C2Key, summary="Make the new C2 key the active one")
async def finish_key(asking: Asking, finish: Finish) -> Response:
    """404 `not_found`: no change is under way. 409 `conflict`: clients are left, and this is not forced."""
    return await asking.change(HTTPStatus.OK, Permission.C2_REKEY, WHOLE, no_object(c2keys.finish), finish.force)


@router.post("/c2/key/abort", response_model=C2Key, summary="Give the new C2 key up; who has taken it stays reachable")
async def abort_key(asking: Asking) -> Response:
    """404 `not_found`: no change is under way."""
    return await asking.change(HTTPStatus.OK, Permission.C2_REKEY, WHOLE, no_object(c2keys.abort))


def public_uri(uri: str) -> str:
    """``uri`` without user, password, and options that are nobody's business."""
    parts = urlsplit(uri)
    options = [(name, value) for name, value in parse_qsl(parts.query) if name in _PUBLIC_OPTIONS]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(options), fragment="").geturl()


def _self(_db: sa.Connection, _realm: Realm, access: Access) -> Known:
    who = access.principal
    return Known(kind=who.kind, id=who.id, name=who.name, grants=list(who.grants))


def _laggards(db: sa.Connection, realm: Realm, access: Access, after: str, limit: int) -> list[Client]:
    return clients.laggards(db, realm, after, limit, access.clients)


def _key_changes(db: sa.Connection, realm: Realm, access: Access, after: str, limit: int) -> list[KeyChange]:
    return standing.key_changes(db, realm, after, limit, access.clients)
