# SPDX-License-Identifier: Apache-2.0
"""Many clients or topics in one request, each with a result of its own.

A request that has not this form is refused whole, as every other. What only the C2 can know of an item (its name is taken, its key
is none) is told in its result, and keeps no other back, unless the request asks for all or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from e4c2 import c2keys
from e4c2.access.grants import Permission
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.clients import NewClient
from e4c2.api.objects import Each, EachClient, EachMember
from e4c2.api.status import Problem, problem_of
from e4c2.api.topics import NewTopic
from e4c2.api.values import Body, Id
from e4c2.clients import Client
from e4c2.commands import Operation
from e4c2.enrolment import bulk
from e4c2.enrolment.bulk import Changed, Result
from e4c2.rows import Realm
from e4c2.topics import Topic
from e4core.errors import E4Error

T = TypeVar("T")

AT_ONCE = 10_000

clients_router = APIRouter(prefix="/v1/clients", tags=["clients"])
topics_router = APIRouter(prefix="/v1/topics", tags=["topics"])

Places = Annotated[list[Id], Field(min_length=1, max_length=AT_ONCE)]


class Batch(Body):
    all_or_none: bool = Field(False, description="what one item is refused for is the answer, and nothing is changed")


class NewClients(Batch):
    items: list[NewClient] = Field(min_length=1, max_length=AT_ONCE, description="those to register")


class NewTopics(Batch):
    items: list[NewTopic] = Field(min_length=1, max_length=AT_ONCE, description="those to make")


class RemovedClients(Batch):
    clients: Places = Field(description="those to forget")
    rekey: bool = Field(True, description="re-key the topics that they leave")


class JoiningClients(Batch):
    clients: Places = Field(description="those to let in")


class _Result(BaseModel):
    status: int = Field(description="201: done; 200: it was so already; else that of the problem")
    problem: Problem | None = Field(description="why not; null: there is none")


class ClientResult(_Result):
    item: Client | None = Field(description="the client as it is now; null if refused")


class TopicResult(_Result):
    item: Topic | None = Field(description="the topic as it is now; null if refused")


class IdResult(_Result):
    item: str | None = Field(description="id of the client; null if refused")


class ClientResults(BaseModel):
    results: list[ClientResult] = Field(description="in the order of the request")


class TopicResults(BaseModel):
    results: list[TopicResult] = Field(description="in the order of the request")


class BatchChange(BaseModel):
    results: list[IdResult] = Field(description="in the order of the request")
    operation: Operation | None = Field(description="of all that was changed; null: nothing was")


@clients_router.post("/batch", response_model=ClientResults, summary="Register many clients")
async def create_clients(asking: Asking, batch: NewClients) -> Response:
    """A client that is registered with the same name, id and key already stays as it is, so that this may be repeated."""
    made = Each([objects.NewClient(each.name, each.id) for each in batch.items])
    return await asking.change(HTTPStatus.OK, Permission.CLIENTS_ENROL, made, _create_clients, batch)


@clients_router.post("/batch/remove", response_model=BatchChange, summary="Forget many clients, evicted everywhere")
async def remove_clients(asking: Asking, batch: RemovedClients) -> Response:
    """Each topic that some of them leave is re-keyed once."""
    removed = EachClient(batch.clients)
    return await asking.change(HTTPStatus.OK, Permission.CLIENTS_REMOVE, removed, _remove_clients, batch)


@topics_router.post("/batch", response_model=TopicResults, summary="Create many topics")
async def create_topics(asking: Asking, batch: NewTopics) -> Response:
    """A topic that exists stays as it is."""
    made = Each([objects.NewTopic(each.name) for each in batch.items])
    return await asking.change(HTTPStatus.OK, Permission.TOPICS_CREATE, made, _create_topics, batch)


@topics_router.post(
    "/{topic}/members/batch", response_model=BatchChange, summary="Make those clients members that can be"
)
async def join_topic(asking: Asking, topic: Id, batch: JoiningClients) -> Response:
    joining = EachMember(topic, batch.clients)
    return await asking.change(HTTPStatus.OK, Permission.MEMBERS_JOIN, joining, _join, batch)


def _create_clients(
    db: sa.Connection, realm: Realm, names: Sequence[str | E4Error], batch: NewClients
) -> dict[str, Any]:
    active = c2keys.active_version(db, realm)

    def new(name: str | E4Error, item: NewClient) -> bulk.New | E4Error:
        if isinstance(name, E4Error):
            return name
        chosen = None if item.id is None else bytes.fromhex(item.id)
        return bulk.New(name, item.key, active if item.c2_key is None else item.c2_key, chosen)

    items = [new(name, item) for name, item in zip(names, batch.items, strict=True)]
    return {"results": _results(batch, bulk.create_clients(db, realm, items), asdict)}


def _create_topics(db: sa.Connection, realm: Realm, names: Sequence[str | E4Error], batch: NewTopics) -> dict[str, Any]:
    return {"results": _results(batch, bulk.create_topics(db, realm, names), asdict)}


def _remove_clients(
    db: sa.Connection, realm: Realm, names: Sequence[str | E4Error], batch: RemovedClients
) -> dict[str, Any]:
    return _changed(batch, bulk.remove_clients(db, realm, names, batch.rekey))


def _join(
    db: sa.Connection, realm: Realm, joining: tuple[str, Sequence[str | E4Error]], batch: JoiningClients
) -> dict[str, Any]:
    return _changed(batch, bulk.join(db, realm, *joining))


def _changed(batch: RemovedClients | JoiningClients, changed: Changed) -> dict[str, Any]:
    results = _results(batch, changed.results, str)
    for identity, result in zip(batch.clients, results, strict=True):
        result["item"] = result["item"] and identity
    return {"results": results, "operation": changed.operation and asdict(changed.operation)}


def _results(batch: Batch, results: Sequence[Result[T]], show: Callable[[T], Any]) -> list[dict[str, Any]]:
    """Raises: E4Error: the first refusal, where all or none is to be done."""
    if batch.all_or_none:
        bulk.require_all(results)
    return [_result(each, show) for each in results]


def _result(result: Result[T], show: Callable[[T], Any]) -> dict[str, Any]:
    if isinstance(result, E4Error):
        why = problem_of(result)
        return {"status": why.status, "problem": why.model_dump(), "item": None}
    status = HTTPStatus.CREATED if result.is_new else HTTPStatus.OK
    return {"status": status, "problem": None, "item": show(result.what)}
