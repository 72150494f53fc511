# SPDX-License-Identifier: Apache-2.0
"""``/v1/clients/{client}/links``: whose public keys a client holds."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import Field

from e4c2 import links
from e4c2.access.grants import Permission
from e4c2.access.principal import Access
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import Peers, SeenOf
from e4c2.api.values import Body, Id, Page, Paging, page
from e4c2.clients import Client
from e4c2.commands import Operation
from e4c2.rows import Realm

router = APIRouter(prefix="/v1/clients/{client}/links", tags=["links"])


class NewLink(Body):
    peer: Id = Field(description="the client whose public key it is")


@router.get("", summary="List the clients whose public keys a client holds, by name")
async def list_(asking: Asking, client: Id, query: Annotated[Paging, Query()]) -> Page[Client]:
    seen = SeenOf(objects.Client(client))
    peers = await asking.read(Permission.CLIENTS_READ, seen, _peers, query.after(), query.limit + 1)
    return page(peers, query.limit, lambda peer: peer.name)


@router.post("", status_code=202, response_model=Operation, summary="Send a client the public key of a peer")
async def create(asking: Asking, client: Id, new: NewLink) -> Response:
    """409 `conflict`: the client is suspended. 409 `unsupported`: in symmetric suites."""
    return await asking.change(HTTPStatus.ACCEPTED, Permission.LINKS_CHANGE, Peers(client, new.peer), _send)


@router.delete("", status_code=202, response_model=Operation, summary="Make a client forget all public keys")
async def reset(asking: Asking, client: Id) -> Response:
    """409 `unsupported`: in symmetric suites."""
    return await asking.change(HTTPStatus.ACCEPTED, Permission.LINKS_CHANGE, objects.Client(client), links.reset)


@router.delete(
    "/{peer}", status_code=202, response_model=Operation, summary="Make a client forget the public key of a peer"
)
async def remove(asking: Asking, client: Id, peer: Id) -> Response:
    """404 `not_found`: also when there is no such link. 409 `unsupported`: in symmetric suites."""
    return await asking.change(HTTPStatus.ACCEPTED, Permission.LINKS_CHANGE, Peers(client, peer), _remove)


def _peers(db: sa.Connection, realm: Realm, of: tuple[str, Access], after: str, limit: int) -> list[Client]:
    name, access = of
    return links.page(db, realm, name, after, limit, access.clients)


def _send(db: sa.Connection, realm: Realm, peers: tuple[str, str]) -> Operation:
    return links.send(db, realm, *peers)


def _remove(db: sa.Connection, realm: Realm, peers: tuple[str, str]) -> Operation:
    return links.remove(db, realm, *peers)
