# SPDX-License-Identifier: Apache-2.0
"""``/v1/webhooks``: who is told of events over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from e4c2.access.grants import Permission
from e4c2.api.caller import Asking
from e4c2.api.objects import WHOLE, no_object
from e4c2.api.values import Body, Id, Page, Paging, page
from e4c2.events import dispatch, posting, signing, webhooks
from e4c2.events.posting import URL_MAX
from e4c2.events.webhooks import Webhook
from e4c2.model import EventKind
from e4c2.rows import Realm
from e4core.errors import TransportError

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

TEST = "webhook.test"
Kind = Annotated[EventKind, Field(strict=False)]
Url = Annotated[
    str, Field(max_length=URL_MAX, description="https; or http to a loopback address. Redirects are not followed")
]


class NewWebhook(Body):
    name: str = Field(description="1 to 255 bytes of UTF-8 without control characters")
    url: Url
    kinds: list[Kind] = Field([], max_length=len(EventKind), description="only these; empty: all")


class WebhookChange(Body):
    url: Url | None = Field(None, description="where they are posted from now on; null: as before")
    kinds: list[Kind] | None = Field(
        None, max_length=len(EventKind), description="only these; empty: all; null: as before"
    )


class MadeWebhook(BaseModel):
    id: str
    webhook: Webhook
    secret: str = Field(description="whsec_..., as Standard Webhooks has it; shown now and never again")


class Tested(BaseModel):
    status: int | None = Field(description="of the answer; null: there was none")
    failure: str | None = Field(description="why there was none; null: there was")


@router.post("", status_code=201, response_model=MadeWebhook, summary="Have events posted to a URL, from now on")
async def create(asking: Asking, new: NewWebhook) -> Response:
    """409 `conflict`: the name is taken."""
    return await asking.change(
        HTTPStatus.CREATED, Permission.WEBHOOKS_CHANGE, WHOLE, _create, new.name, new.url, new.kinds
    )


@router.get("", summary="List webhooks by name, without their secrets")
async def list_(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Webhook]:
    found = await asking.read(Permission.WEBHOOKS_READ, WHOLE, no_object(webhooks.page), query.after(), query.limit + 1)
    return page(found, query.limit, lambda webhook: webhook.name)


@router.get("/{webhook}", response_model=Webhook, summary="Show a webhook, and whether it takes what it is sent")
async def show(asking: Asking, webhook: Id) -> Response:
    return await asking.show(Permission.WEBHOOKS_READ, WHOLE, no_object(webhooks.show), webhook)


@router.patch("/{webhook}", response_model=Webhook, summary="Change where events are posted, or which")
async def change(asking: Asking, webhook: Id, new: WebhookChange) -> Response:
    return await asking.change(
        HTTPStatus.OK, Permission.WEBHOOKS_CHANGE, WHOLE, no_object(webhooks.change), webhook, new.url, new.kinds
    )


@router.post("/{webhook}/resume", response_model=Webhook, summary="Try again at once, also one that was paused")
async def resume(asking: Asking, webhook: Id) -> Response:
    return await asking.change(HTTPStatus.OK, Permission.WEBHOOKS_CHANGE, WHOLE, no_object(webhooks.resume), webhook)


@router.post("/{webhook}/test", summary="Post a test message, and tell what is answered")
async def test(asking: Asking, webhook: Id) -> Tested:
    """Its type is `webhook.test`; it is sent once, also to one that is paused."""
    shown, secret = await asking.use(Permission.WEBHOOKS_CHANGE, WHOLE, no_object(webhooks.secret_of), webhook)
    now = asking.c2.realm.clock()
    message = signing.made(f"test_{int(now * 1000)}", TEST, now, {"webhook": shown.name})
    try:
        answer = await dispatch.post(posting.target(shown.url), secret, message, now)
    except TransportError as error:
        return Tested(status=None, failure=str(error))
    return Tested(status=answer.status, failure=None)


@router.delete("/{webhook}", status_code=204, summary="Post nothing more to a webhook, and forget it")
async def remove(asking: Asking, webhook: Id) -> Response:
    return await asking.change(
        HTTPStatus.NO_CONTENT, Permission.WEBHOOKS_CHANGE, WHOLE, no_object(webhooks.remove), webhook
    )


def _create(
    db: sa.Connection, realm: Realm, _found: object, name: str, url: str, kinds: list[EventKind]
) -> dict[str, Any]:
    made, secret = webhooks.create(db, realm, name, url, kinds)
    return {"id": made.id, "webhook": asdict(made), "secret": bytes(secret).decode()}
