# SPDX-License-Identifier: Apache-2.0
"""``/v1/commands`` and ``/v1/operations``: what devices are still to be brought to, and what came of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from e4c2 import clients, commands, dead_letters
from e4c2.access.grants import Permission
from e4c2.access.principal import Access
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN
from e4c2.api.values import NUMBER, Id, Page, Paging, page
from e4c2.commands import Command, Operation
from e4c2.model import Delivery
from e4c2.rows import Realm

router = APIRouter(prefix="/v1", tags=["commands"])


class Chosen(Paging):
    client: Id | None = Field(None, description="only those to this client")
    state: Delivery | None = Field(None, description="only those in this state")


@router.get("/commands", summary="List commands, oldest first")
async def list_(asking: Asking, query: Annotated[Chosen, Query()]) -> Page[Command]:
    after = int(query.after(NUMBER) or 0)
    wanted = (query.client, query.state)
    found = await asking.read(Permission.COMMANDS_READ, SEEN, _page, after, query.limit + 1, *wanted)
    return page(found, query.limit, lambda command: str(command.id))


@router.post(
    "/commands/{command}/retry",
    status_code=202,
    response_model=Operation,
    summary="Send anew what a device has refused, or never answered",
)
async def retry(asking: Asking, command: Annotated[int, Path(ge=1, lt=2**63)]) -> Response:
    """409 `conflict`: it is neither refused nor expired."""
    about = objects.Command(command)
    return await asking.change(HTTPStatus.ACCEPTED, Permission.COMMANDS_RETRY, about, dead_letters.retry)


@router.get("/operations/{operation}", summary="Show how far the commands of a change are")
async def show(asking: Asking, operation: Id) -> Operation:
    """Of a removal of several clients all is counted, as in the answer to it, for whoever knows its id, which is random."""
    return await asking.read(Permission.COMMANDS_READ, objects.Operation(operation), _count)


def _page(
    db: sa.Connection, _realm: Realm, access: Access, after: int, limit: int, client: str | None, state: Delivery | None
) -> list[Command]:
    name = None if client is None else clients.name_of(db, client, access.clients)
    return commands.page(db, after, limit, name, state, access.clients, access.topics)


def _count(db: sa.Connection, _realm: Realm, identity: bytes) -> Operation:
    return commands.count(db, identity)
