# SPDX-License-Identifier: Apache-2.0
"""``/v1/topics``."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import Field

from e4c2 import clients, topics
from e4c2.api.caller import Asking, by_id
from e4c2.api.values import Body, Id, Page, Paging, page
from e4c2.clients import Client
from e4c2.commands import Operation
from e4c2.rows import Realm
from e4c2.topics import Topic
from e4core.errors import NotFound

P = ParamSpec("P")
T = TypeVar("T")

AT_ONCE = 10_000

router = APIRouter(prefix="/v1/topics", tags=["topics"])


class NewTopic(Body):
    name: str = Field(description="1 to 512 bytes of UTF-8 without +, # and NUL, not beginning with e4/")


class Joining(Body):
    clients: list[Id] = Field(min_length=1, max_length=AT_ONCE, description="those to let in")


class Evicted(Body):
    clients: list[Id] = Field(min_length=1, max_length=AT_ONCE, description="those to evict")
    rekey: bool = Field(True, description="false leaves the key as it is: the evicted can then still read")


class Named(Paging):
    name: str | None = Field(None, description="only the one with exactly this name")


@router.post("", status_code=201, response_model=Topic, summary="Create a topic; none is ever overwritten or rotated")
async def create(asking: Asking, new: NewTopic) -> Response:
    """409 `conflict`: the name is taken."""
    return await asking.change(HTTPStatus.CREATED, topics.create, new.name)


@router.get("", summary="List topics by name")
async def list_(asking: Asking, query: Annotated[Named, Query()]) -> Page[Topic]:
    if query.name is not None:
        return page(await asking.read(_named, query.name), query.limit, _mark)
    return page(await asking.read(topics.page, query.after(), query.limit + 1), query.limit, _mark)


@router.get("/{topic}", summary="Show a topic")
async def show(asking: Asking, topic: Id) -> Topic:
    return await asking.read(_of(topics.show), topic)


@router.delete(
    "/{topic}", status_code=202, response_model=Operation, summary="Forget a topic, as its members are told to"
)
async def remove(asking: Asking, topic: Id) -> Response:
    return await asking.change(HTTPStatus.ACCEPTED, _of(topics.remove), topic)


@router.post("/{topic}/rotate", status_code=202, response_model=Operation, summary="Give a topic a new key")
async def rotate(asking: Asking, topic: Id) -> Response:
    return await asking.change(HTTPStatus.ACCEPTED, _of(topics.rotate), topic)


@router.get("/{topic}/members", summary="List the members of a topic, by name")
async def list_members(asking: Asking, topic: Id, query: Annotated[Paging, Query()]) -> Page[Client]:
    return page(await asking.read(_of(topics.members), topic, query.after(), query.limit + 1), query.limit, _mark)


@router.post("/{topic}/members", status_code=202, response_model=Operation, summary="Make clients members of a topic")
async def join(asking: Asking, topic: Id, joining: Joining) -> Response:
    """All or none. 409 `conflict`: a client is suspended."""
    return await asking.change(HTTPStatus.ACCEPTED, _of(_join), topic, joining.clients)


@router.post(
    "/{topic}/evict", status_code=202, response_model=Operation, summary="Evict members, and re-key for those who stay"
)
async def evict(asking: Asking, topic: Id, evicted: Evicted) -> Response:
    """All or none. 404 `not_found`: also when a client is no member."""
    return await asking.change(HTTPStatus.ACCEPTED, _of(_evict), topic, evicted.clients, evicted.rekey)


def _of(
    use_case: Callable[Concatenate[sa.Connection, Realm, str, P], T],
) -> Callable[Concatenate[sa.Connection, Realm, str, P], T]:
    return by_id(topics.name_of, use_case)


def _mark(row: Client | Topic) -> str:
    return row.name


def _named(db: sa.Connection, realm: Realm, name: str) -> list[Topic]:
    try:
        return [topics.show(db, realm, name)]
    except NotFound:
        return []


def _join(db: sa.Connection, realm: Realm, name: str, ids: list[str]) -> Operation:
    return topics.join(db, realm, name, clients.names_of(db, ids))


def _evict(db: sa.Connection, realm: Realm, name: str, ids: list[str], rekey: bool) -> Operation:
    return topics.leave(db, realm, name, clients.names_of(db, ids), rekey)
