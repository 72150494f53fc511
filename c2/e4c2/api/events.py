# SPDX-License-Identifier: Apache-2.0
"""``/v1/events``: what has happened, page by page, or as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, TypeAdapter

from e4c2.access.grants import Permission
from e4c2.access.principal import Access
from e4c2.api.caller import Asking, Caller
from e4c2.api.objects import SEEN
from e4c2.api.values import LIMIT, LIMIT_MAX, Parameters
from e4c2.events import log
from e4c2.events.log import Event, Span
from e4c2.model import EventKind, event
from e4c2.rows import Realm
from e4core.errors import E4Error, InvalidInput

router = APIRouter(prefix="/v1/events", tags=["events"])

HEARTBEAT_S = 15.0
"""Between two signs of life, and looks at the token, while nothing happens."""
AT_ONCE = 100
"""Events that are read for a follower, who may take its time with them."""
NEWEST = "newest"
_NEEDED = {
    EventKind.OPERATION_CONFIRMED: Permission.COMMANDS_READ,
    EventKind.OPERATION_SENT: Permission.COMMANDS_READ,
    EventKind.OPERATION_FAILED: Permission.COMMANDS_READ,
    EventKind.OPERATION_EXPIRED: Permission.COMMANDS_READ,
    EventKind.DEK_CHANGED: Permission.KMS_READ,
    EventKind.TOKEN_MADE: Permission.TOKENS_READ,
    EventKind.TOKEN_REVOKED: Permission.TOKENS_READ,
    EventKind.WEBHOOK_PAUSED: Permission.WEBHOOKS_READ,
    EventKind.APPROVAL_ASKED: Permission.APPROVALS_DECIDE,
    EventKind.APPROVAL_DECIDED: Permission.APPROVALS_DECIDE,
    EventKind.APPROVAL_USED: Permission.APPROVALS_DECIDE,
}
"""Kind of events -> what is needed beside, as for what they are about."""
_NUMBER = r"[0-9]{1,18}"
_UNBUFFERED = {"X-Accel-Buffering": "no"}
"""What proxies of the nginx kind are told, which else keep a stream back until it fills a buffer."""
_EVENT = TypeAdapter(Event)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: `data` is an event, `id` its number",
        "content": {"text/event-stream": {"schema": {"$ref": "#/components/schemas/Event"}}},
    }
}


class Chosen(Parameters):
    after: str | None = Field(
        None,
        pattern=f"^({_NUMBER}|{NEWEST})$",
        description="number of the last event that is known; `newest`: only what happens from now on; without it all that is kept",
    )
    kind: list[EventKind] = Field([], max_length=len(EventKind), description="only these; may be given several times")


class Asked(Chosen):
    limit: int = Field(LIMIT, ge=1, le=LIMIT_MAX, description="number of items at most")


class Events(BaseModel):
    items: list[Event] = Field(description="oldest first; fewer than `limit`: there are no more yet")
    next: int = Field(description="`after` of the next page, now or later")


@router.get("", summary="List what has happened, oldest first")
async def list_(asking: Asking, query: Annotated[Asked, Query()]) -> Events:
    """410 `gone`: what followed `after` is kept no more, or the database was restored; begin again without it."""
    span = await asking.read(Permission.EVENTS_READ, SEEN, _page, query.after, query.limit, query.kind)
    return Events(items=span.events, next=span.upto)


@router.get(
    "/stream", summary="Follow what happens", response_class=StreamingResponse, response_model=None, responses=_STREAM
)
async def follow(
    asking: Asking, query: Annotated[Chosen, Query()], last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Goes on until the connection ends, the token is valid no more, or the C2 stops. Who comes back says with `Last-Event-ID`
    (or `after`) what is known already, and misses nothing.

    410 `gone`: as of a list. 429 `rate_exceeded`: too many follow.
    """
    texts = _follow(asking, query, _resumed(last_event_id) or query.after)
    first = await anext(texts)  # what is refused is refused before an answer begins
    return StreamingResponse(_joined(first, texts), headers=_UNBUFFERED, media_type="text/event-stream")


async def _follow(asking: Caller, query: Chosen, after: str | None) -> AsyncIterator[str]:
    feed = asking.c2.feed
    with feed.listen(str(asking.principal)) as follower:
        span = await asking.read(Permission.EVENTS_READ, SEEN, _page, after, AT_ONCE, query.kind)
        yield f"id: {span.upto}\n\n" if not span.events else _text(span)
        while not feed.closed:
            seen = follower.at = span.upto
            await feed.after(seen, HEARTBEAT_S)
            try:
                span = await asking.read(Permission.EVENTS_READ, SEEN, _page, str(seen), AT_ONCE, query.kind)
            except E4Error:  # whoever comes back is told why
                return
            yield _text(span) or (f"id: {span.upto}\n\n" if span.upto != seen else ":\n\n")


async def _joined(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    async with aclosing(rest) as texts:  # type: ignore[type-var]
        yield first
        async for text in texts:
            yield text


def _text(span: Span) -> str:
    return "".join(f"id: {each.id}\ndata: {_EVENT.dump_json(each).decode()}\n\n" for each in span.events)


def _resumed(last_event_id: str | None) -> str | None:
    """Raises: InvalidInput: never sent here."""
    if not last_event_id:
        return None
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 18):
        raise InvalidInput("this Last-Event-ID was not given here; begin without one", kind="bad_cursor")
    return last_event_id


def _page(
    db: sa.Connection, realm: Realm, access: Access, after: str | None, limit: int, kinds: list[EventKind]
) -> Span:
    if after == NEWEST:
        return Span([], log.newest(db))
    return log.page(db, realm, int(after or 0), limit, kinds, *_seen(access))


def _seen(access: Access) -> list[sa.ColumnElement[bool]]:
    """What holds of events that may be seen: all that they name is; and what names nothing is about the whole fleet."""
    hidden = [kind.value for kind, needed in _NEEDED.items() if not access.principal.has(needed)]
    seen: list[sa.ColumnElement[bool]] = [event.c.kind.not_in(hidden)] if hidden else []
    for column, patterns in ((event.c.client, access.clients), (event.c.topic, access.topics)):
        seen += [] if patterns.are_all else [sa.or_(column.is_(None), patterns.where(column))]
    if not access.sees_all:
        seen.append(sa.or_(event.c.client.is_not(None), event.c.topic.is_not(None)))
    return seen
