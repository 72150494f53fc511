# SPDX-License-Identifier: Apache-2.0
"""``/v1/enrolments``: tokens by which devices enrol themselves; and ``/v1/enrol``, where they do."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from e4c2 import c2keys
from e4c2.access.grants import Permission
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import OWN_ENROLMENT, SEEN
from e4c2.api.own import public_uri
from e4c2.api.values import Base64, Body, DeviceKey, Id, Page, Paging, page
from e4c2.c2keys import C2Key
from e4c2.clients import Client
from e4c2.enrolment import newcomers, tokens
from e4c2.enrolment.tokens import LIFETIME_MAX_S, TOPICS_MAX, USES_MAX, Enrolment
from e4c2.model import C2KeyState
from e4c2.rows import Realm
from e4core.enrolment import Request

tokens_router = APIRouter(prefix="/v1/enrolments", tags=["enrolments"])
router = APIRouter(prefix="/v1/enrol", tags=["enrolments"])

_ID = r"[0-9a-f]{32}"


class NewEnrolment(Body):
    name: str = Field(description="what it is for; several may have the same")
    clients: str = Field(description="the name that the device takes, or the beginning of names that ends in *")
    topics: list[str] = Field(max_length=TOPICS_MAX, description="names of the topics that each device joins")
    uses: int = Field(ge=1, le=USES_MAX, description="how many devices it lets in")
    lifetime_s: float = Field(gt=0, le=LIFETIME_MAX_S, description="in seconds")


class IssuedEnrolment(BaseModel):
    id: str
    name: str
    clients: str
    topics: list[str]
    uses: int
    generation: int
    created: float
    expires: float
    token: str = Field(description="shown now and never again")


class Invitation(BaseModel):
    enrolment: str = Field(description="id of the enrolment token, which the proof names")
    suite: str
    wire_name: str
    c2_key: C2Key | None = Field(description="the key of the C2 that the device is to know; null in symmetric suites")
    broker: str = Field(description="where devices meet, without user and credentials")


class Newcomer(Body):
    name: str = Field(description="1 to 255 bytes of UTF-8 without control characters; the id follows from it")
    key: DeviceKey
    c2_key: int = Field(ge=0, le=2**31 - 1, description="version of the C2's key that the device has; 0: none")
    proof: Base64 = Field(description="that the device holds the key: see the guide")


@tokens_router.post("", status_code=201, response_model=IssuedEnrolment, summary="Make an enrolment token")
async def create(asking: Asking, new: NewEnrolment) -> Response:
    """403 `forbidden`: it reaches beyond the clients or topics that its maker may enrol and let join."""
    made = objects.NewEnrolment(new.name, new.clients, tuple(new.topics))
    return await asking.change(
        HTTPStatus.CREATED, Permission.CLIENTS_ENROL, made, _create, new.name, new.uses, new.lifetime_s
    )


@tokens_router.get("", summary="List enrolment tokens, without their texts")
async def list_(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Enrolment]:
    rows = await asking.read(Permission.CLIENTS_READ, SEEN, tokens.page, query.after(_ID), query.limit + 1)
    return page(rows, query.limit, lambda each: each.id)


@tokens_router.get("/{enrolment}", response_model=Enrolment, summary="Show an enrolment token, without its text")
async def show(asking: Asking, enrolment: Id) -> Response:
    return await asking.show(Permission.CLIENTS_READ, objects.Enrolment(enrolment), tokens.show)


@tokens_router.delete("/{enrolment}", status_code=204, summary="Revoke an enrolment token, at once")
async def revoke(asking: Asking, enrolment: Id) -> Response:
    """Devices that it has let in stay what they are."""
    return await asking.change(
        HTTPStatus.NO_CONTENT, Permission.CLIENTS_ENROL, objects.Enrolment(enrolment), tokens.revoke
    )


@router.get("", summary="What a device needs to know to enrol itself; with an enrolment token")
async def invite(asking: Asking) -> Invitation:
    suite = asking.c2.realm.suite
    identity, key = await asking.read(Permission.SELF_ENROL, OWN_ENROLMENT, _invite)
    broker = public_uri(asking.c2.broker)
    return Invitation(enrolment=identity, suite=suite.name, wire_name=suite.wire_name, c2_key=key, broker=broker)


@router.post("", response_model=Client, summary="Enrol the device that asks; with an enrolment token")
async def enrol(asking: Asking, newcomer: Newcomer) -> Response:
    """A device may ask again with the same key, and gets the same answer. 401 `unauthenticated`: the token is used up or expired.
    403 `forbidden`: it is for other names. 409 `conflict`: the name is taken, or the C2's key was changed: begin anew.
    422 `not_authentic`: the proof is none.
    """
    return await asking.change(HTTPStatus.OK, Permission.SELF_ENROL, OWN_ENROLMENT, _enrol, newcomer)


def _create(
    db: sa.Connection, realm: Realm, reach: tuple[str, tuple[str, ...]], name: str, uses: int, lifetime_s: float
) -> dict[str, Any]:
    made, text = tokens.create(db, realm, name, *reach, uses, lifetime_s)
    return {**asdict(made), "token": text}


def _invite(db: sa.Connection, realm: Realm, identity: str) -> tuple[str, C2Key | None]:
    active = [each for each in c2keys.all_versions(db, realm) if each.state == C2KeyState.ACTIVE]
    return identity, active[0] if active else None


def _enrol(db: sa.Connection, realm: Realm, identity: str, newcomer: Newcomer) -> Client:
    request = Request(bytes.fromhex(identity), newcomer.name, newcomer.key, newcomer.c2_key)
    return newcomers.enrol(db, realm, request, newcomer.proof)
