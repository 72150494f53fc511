# SPDX-License-Identifier: Apache-2.0
"""``/v1/topics``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import Field

from e4c2 import standing, topics
from e4c2.access.grants import Permission
from e4c2.access.principal import Access
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN, Members, SeenOf
from e4c2.api.values import NUMBER, Body, Id, Page, Paging, Prefix, Wait, page
from e4c2.changes import Change
from e4c2.clients import Client
from e4c2.commands import Operation
from e4c2.departures import Departed
from e4c2.holdings import Laggard
from e4c2.rows import Realm
from e4c2.standing import Standing
from e4c2.topics import Topic
from e4core.errors import NotFound

AT_ONCE = 10_000

router = APIRouter(prefix="/v1/topics", tags=["topics"])


class NewTopic(Body):
    name: str = Field(description="1 to 512 bytes of UTF-8 without +, # and NUL, not beginning with e4/")


class Joining(Body):
    clients: list[Id] = Field(min_length=1, max_length=AT_ONCE, description="those to let in")


class Evicted(Body):
    clients: list[Id] = Field(min_length=1, max_length=AT_ONCE, description="those to evict")
    rekey: bool = Field(
        True, description="false leaves the key as it is until the topic is rotated: the evicted can read until then"
    )
    wait_s: Wait = None


class Aim(Body):
    revoke_within_s: float | None = Field(
        gt=0, description="seconds a revocation is to take at most; null: as the settings say"
    )


class Named(Paging):
    name: str | None = Field(None, description="only the one with exactly this name")
    prefix: Prefix = ""


@router.post(
    "", status_code=201, response_model=Standing, summary="Create a topic; none is ever overwritten or rotated"
)
async def create(asking: Asking, new: NewTopic) -> Response:
    """409 `conflict`: the name is taken."""
    return await asking.change(
        HTTPStatus.CREATED, Permission.TOPICS_CREATE, objects.NewTopic(new.name), standing.create
    )


@router.get("", summary="List topics by name")
async def list_(asking: Asking, query: Annotated[Named, Query()]) -> Page[Topic]:
    found = await asking.read(
        Permission.TOPICS_READ, SEEN, _page, query.name, query.prefix, query.after(), query.limit + 1
    )
    return page(found, query.limit, _mark)


@router.get("/{topic}", response_model=Standing, summary="Show a topic")
async def show(asking: Asking, topic: Id) -> Response:
    """With where its members are, and how long revocations took."""
    return await asking.show(Permission.TOPICS_READ, objects.Topic(topic), standing.show)


@router.patch("/{topic}", response_model=Standing, summary="Set how long a revocation is to take at most")
async def aim(asking: Asking, topic: Id, aim: Aim) -> Response:
    target = aim.revoke_within_s
    return await asking.change(HTTPStatus.OK, Permission.TOPICS_ROTATE, objects.Topic(topic), standing.aim, target)


@router.delete(
    "/{topic}", status_code=202, response_model=Operation, summary="Forget a topic, as its members are told to"
)
async def remove(asking: Asking, topic: Id) -> Response:
    return await asking.change(HTTPStatus.ACCEPTED, Permission.TOPICS_REMOVE, objects.Topic(topic), topics.remove)


@router.post("/{topic}/rotate", status_code=202, response_model=Operation, summary="Give a topic a new key")
async def rotate(asking: Asking, topic: Id) -> Response:
    return await asking.change(HTTPStatus.ACCEPTED, Permission.TOPICS_ROTATE, objects.Topic(topic), topics.rotate)


@router.get("/{topic}/members", summary="List the members of a topic, by name")
async def list_members(asking: Asking, topic: Id, query: Annotated[Paging, Query()]) -> Page[Client]:
    seen = SeenOf(objects.Topic(topic))
    found = await asking.read(Permission.TOPICS_READ, seen, _members, query.after(), query.limit + 1)
    return page(found, query.limit, _mark)


@router.get("/{topic}/laggards", summary="List the members that are not known to have the present key, by name")
async def list_laggards(asking: Asking, topic: Id, query: Annotated[Paging, Query()]) -> Page[Laggard]:
    seen = SeenOf(objects.Topic(topic))
    behind = await asking.read(Permission.TOPICS_READ, seen, _laggards, query.after(), query.limit + 1)
    return page(behind, query.limit, _mark)


@router.get("/{topic}/evicted", summary="List who was evicted and still knows the key, by name")
async def list_evicted(asking: Asking, topic: Id, query: Annotated[Paging, Query()]) -> Page[Departed]:
    seen = SeenOf(objects.Topic(topic))
    gone = await asking.read(Permission.TOPICS_READ, seen, _evicted, query.after(), query.limit + 1)
    return page(gone, query.limit, _mark)


@router.get("/{topic}/changes", summary="List the keys that a topic got, the newest first, and how long each took")
async def list_changes(asking: Asking, topic: Id, query: Annotated[Paging, Query()]) -> Page[Change]:
    before = int(query.after(NUMBER) or 0)
    of = objects.Topic(topic)
    found = await asking.read(Permission.TOPICS_READ, of, standing.history, before, query.limit + 1)
    return page(found, query.limit, lambda change: str(change.id))


@router.post("/{topic}/members", status_code=202, response_model=Operation, summary="Make clients members of a topic")
async def join(asking: Asking, topic: Id, joining: Joining) -> Response:
    """All or none. 409 `conflict`: a client is suspended."""
    return await asking.change(HTTPStatus.ACCEPTED, Permission.MEMBERS_JOIN, Members(topic, joining.clients), _join)


@router.post(
    "/{topic}/evict", status_code=202, response_model=Operation, summary="Evict members, and re-key for those who stay"
)
async def evict(asking: Asking, topic: Id, evicted: Evicted) -> Response:
    """All or none. 404 `not_found`: also when a client is no member."""
    how = (evicted.rekey, evicted.wait_s)
    return await asking.change(
        HTTPStatus.ACCEPTED, Permission.MEMBERS_EVICT, Members(topic, evicted.clients), _evict, *how
    )


def _mark(row: Client | Topic | Laggard | Departed) -> str:
    return row.name


def _page(
    db: sa.Connection, realm: Realm, access: Access, name: str | None, prefix: str, after: str, limit: int
) -> list[Topic]:
    seen = access.topics.beginning(prefix)
    if name is None:
        return topics.page(db, realm, after, limit, seen)
    try:
        return [topics.show(db, realm, name)] if seen.match(name) else []
    except NotFound:
        return []


def _members(db: sa.Connection, realm: Realm, of: tuple[str, Access], after: str, limit: int) -> list[Client]:
    name, access = of
    return topics.members(db, realm, name, after, limit, access.clients)


def _laggards(db: sa.Connection, realm: Realm, of: tuple[str, Access], after: str, limit: int) -> list[Laggard]:
    name, access = of
    return standing.laggards(db, realm, name, after, limit, access.clients)


def _evicted(db: sa.Connection, realm: Realm, of: tuple[str, Access], after: str, limit: int) -> list[Departed]:
    name, access = of
    return standing.evicted(db, realm, name, after, limit, access.clients)


def _join(db: sa.Connection, realm: Realm, joining: tuple[str, list[str]]) -> Operation:
    return topics.join(db, realm, *joining)


def _evict(
    db: sa.Connection, realm: Realm, evicted: tuple[str, list[str]], rekey: bool, wait_s: float | None
) -> Operation:
    return topics.leave(db, realm, *evicted, rekey, wait_s)
