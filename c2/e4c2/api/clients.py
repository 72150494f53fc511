# SPDX-License-Identifier: Apache-2.0
"""``/v1/clients``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import Field

from e4c2 import c2keys, clients, standing, topics
from e4c2.access.grants import Permission
from e4c2.access.principal import Access
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN, SeenOf
from e4c2.api.values import Body, DeviceKey, Id, Page, Paging, Parameters, Prefix, Wait, page
from e4c2.clients import Client
from e4c2.commands import Operation
from e4c2.holdings import Holding
from e4c2.model import Reason
from e4c2.rows import Realm
from e4c2.topics import Topic
from e4core.errors import NotFound
from e4core.keys import Secret

router = APIRouter(prefix="/v1/clients", tags=["clients"])

Version = Annotated[
    int | None,
    Field(
        ge=0,
        le=2**31 - 1,
        description="version of the C2's key that the device was given (0 in symmetric suites), refused if it is in use no more;"
        " without it, the one that is active when this is done",
    ),
]


class NewClient(Body):
    name: str = Field(description="1 to 255 bytes of UTF-8 without control characters")
    key: DeviceKey
    id: Id | None = Field(None, description="without it the id follows from the name")
    c2_key: Version = None


class NewKey(Body):
    reason: Reason = Field(
        strict=False,
        description="routine: a fresh key is sent to the device; compromised: the client is suspended, its topics are re-keyed",
    )


class Enrolling(Body):
    key: DeviceKey
    c2_key: Version = None


class Named(Paging):
    name: str | None = Field(None, description="only the one with exactly this name")
    prefix: Prefix = ""


class Removal(Parameters):
    rekey: bool = Field(True, description="re-key the topics that it leaves")
    wait_s: Wait = None


@router.post("", status_code=201, response_model=Client, summary="Register a client; none is ever overwritten")
async def create(asking: Asking, new: NewClient) -> Response:
    """409 `conflict`: the name or the id is taken, or the C2 key is given to no device any more."""
    made = objects.NewClient(new.name, new.id)
    return await asking.change(HTTPStatus.CREATED, Permission.CLIENTS_ENROL, made, _create, new.key, new.id, new.c2_key)


@router.get("", summary="List clients by name")
async def list_(asking: Asking, query: Annotated[Named, Query()]) -> Page[Client]:
    found = await asking.read(
        Permission.CLIENTS_READ, SEEN, _page, query.name, query.prefix, query.after(), query.limit + 1
    )
    return page(found, query.limit, _mark)


@router.get("/{client}", response_model=Client, summary="Show a client")
async def show(asking: Asking, client: Id) -> Response:
    return await asking.show(Permission.CLIENTS_READ, objects.Client(client), clients.show)


@router.delete("/{client}", status_code=202, response_model=Operation, summary="Forget a client, evicted everywhere")
async def remove(asking: Asking, client: Id, query: Annotated[Removal, Query()]) -> Response:
    removal = (query.rekey, query.wait_s)
    return await asking.change(
        HTTPStatus.ACCEPTED, Permission.CLIENTS_REMOVE, objects.Client(client), clients.remove, *removal
    )


@router.get("/{client}/topics", summary="List the topics that a client is a member of, by name")
async def list_topics(asking: Asking, client: Id, query: Annotated[Paging, Query()]) -> Page[Topic]:
    seen = SeenOf(objects.Client(client))
    found = await asking.read(Permission.CLIENTS_READ, seen, _topics, query.after(), query.limit + 1)
    return page(found, query.limit, _mark)


@router.get("/{client}/holdings", summary="List the topics of a client, and whether it has their present keys")
async def list_holdings(asking: Asking, client: Id, query: Annotated[Paging, Query()]) -> Page[Holding]:
    seen = SeenOf(objects.Client(client))
    held = await asking.read(Permission.CLIENTS_READ, seen, _holdings, query.after(), query.limit + 1)
    return page(held, query.limit, lambda holding: holding.topic)


@router.post(
    "/{client}/key",
    status_code=202,
    response_model=Operation,
    summary="Change a device's key; or suspend the client, as its key is compromised",
)
async def new_key(asking: Asking, client: Id, new: NewKey) -> Response:
    """409 `conflict`: a routine change while another is under way, or of a suspended client."""
    return await asking.change(
        HTTPStatus.ACCEPTED, Permission.CLIENTS_REKEY, objects.Client(client), clients.new_key, new.reason
    )


@router.post(
    "/{client}/key/confirm", status_code=202, response_model=Operation, summary="Tell that the device uses its new key"
)
async def confirm_key(asking: Asking, client: Id) -> Response:
    """409 `conflict`: no change is under way, or the client is suspended."""
    return await asking.change(
        HTTPStatus.ACCEPTED, Permission.CLIENTS_REKEY, objects.Client(client), clients.confirm_key
    )


@router.post("/{client}/key/cancel", response_model=Client, summary="Tell that the device still uses its old key")
async def cancel_key(asking: Asking, client: Id) -> Response:
    """409 `conflict`: no change is under way, its command may still arrive, or the client is suspended."""
    return await asking.change(HTTPStatus.OK, Permission.CLIENTS_REKEY, objects.Client(client), clients.cancel_key)


@router.post(
    "/{client}/c2-key/confirm", response_model=Client, summary="Tell that the device uses the newest key of the C2"
)
async def confirm_c2_key(asking: Asking, client: Id) -> Response:
    """409 `conflict`: it is known, the key was not sent, or the client is suspended. 409 `unsupported`: in symmetric suites."""
    return await asking.change(HTTPStatus.OK, Permission.CLIENTS_REKEY, objects.Client(client), clients.confirm_c2_key)


@router.post(
    "/{client}/enrol", status_code=202, response_model=Operation, summary="Give a suspended client a key made anew"
)
async def enrol(asking: Asking, client: Id, enrolment: Enrolling) -> Response:
    """409 `conflict`: the client is not suspended, or this is the key of before, or the C2 key is given to no device any more."""
    return await asking.change(
        HTTPStatus.ACCEPTED, Permission.CLIENTS_ENROL, objects.Client(client), _enrol, enrolment.key, enrolment.c2_key
    )


@router.post(
    "/{client}/reset", status_code=202, response_model=Operation, summary="Empty a device, and send all it should hold"
)
async def reset(asking: Asking, client: Id) -> Response:
    """409 `conflict`: the client is suspended."""
    return await asking.change(HTTPStatus.ACCEPTED, Permission.CLIENTS_RESET, objects.Client(client), clients.reset)


def _mark(row: Client | Topic) -> str:
    return row.name


def _create(
    db: sa.Connection, realm: Realm, name: str, key: Secret, identity: str | None, c2_key: int | None
) -> Client:
    chosen = None if identity is None else bytes.fromhex(identity)
    return clients.create(db, realm, name, key, _version(db, realm, c2_key), chosen)


def _page(
    db: sa.Connection, realm: Realm, access: Access, name: str | None, prefix: str, after: str, limit: int
) -> list[Client]:
    seen = access.clients.beginning(prefix)
    if name is None:
        return clients.page(db, realm, after, limit, seen)
    try:
        return [clients.show(db, realm, name)] if seen.match(name) else []
    except NotFound:
        return []


def _holdings(db: sa.Connection, realm: Realm, of: tuple[str, Access], after: str, limit: int) -> list[Holding]:
    name, access = of
    return standing.held_by(db, realm, name, after, limit, access.topics)


def _topics(db: sa.Connection, realm: Realm, of: tuple[str, Access], after: str, limit: int) -> list[Topic]:
    name, access = of
    return topics.of_client(db, realm, name, after, limit, access.topics)


def _enrol(db: sa.Connection, realm: Realm, name: str, key: Secret, c2_key: int | None) -> Operation:
    return clients.enrol(db, realm, name, key, _version(db, realm, c2_key))


def _version(db: sa.Connection, realm: Realm, given: int | None) -> int:
    return c2keys.active_version(db, realm) if given is None else given
