# SPDX-License-Identifier: Apache-2.0
"""Requests on condition that a thing is as the caller knows it (RFC 9110 section 13): ``ETag``, ``If-Match``, ``If-None-Match``.

A tag names the version of the row (its generation, and when it was made, for it may be removed and made anew), and what is shown of
it: ``"GENERATION-CREATED-DIGEST"``. ``If-None-Match`` is about all that is shown; ``If-Match`` about the version alone, as when a
device last reported, or how many members a topic has, is in the way of no change.
"""

from __future__ import annotations

import hashlib
import json
import re
from http import HTTPStatus
from typing import Protocol, TypeVar

import sqlalchemy as sa
from fastapi import Request, Response
from pydantic_core import to_json

from e4c2.api.status import CHANGED
from e4c2.model import client, enrolment, identity, token, topic, webhook
from e4core.errors import Conflict, InvalidInput

_TABLES = {each.name: each for each in (client, topic, enrolment, identity, token, webhook)}
"""Parameter of a path -> table of the things that it names by their ids."""
_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_JSON = "application/json"


class Versioned(Protocol):
    """What may be shown of a row that has generations."""

    @property
    def generation(self) -> int: ...
    @property
    def created(self) -> float: ...


Shown = TypeVar("Shown", bound=Versioned)


def shown(request: Request, what: Versioned) -> Response:
    """``what``, or that it is as it was."""
    body = to_json(what)
    headers = {"ETag": _tag(what.generation, what.created, body)}
    known = _tags(request, "if-none-match")
    if known is not None and ("*" in known or headers["ETag"] in {each.removeprefix("W/") for each in known}):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers=headers, media_type=_JSON)


def tagged(body: bytes) -> dict[str, str]:
    """The headers that name the version of what a change has answered, if that is a thing with versions."""
    document = json.loads(body) if body else {}
    if "generation" not in document:
        return {}
    return {"ETag": _tag(document["generation"], document["created"], body)}


def require(db: sa.Connection, request: Request) -> None:
    """What is to be changed is as the caller has seen it. Raises: Conflict (``changed``). InvalidInput: it has no versions."""
    tags = _tags(request, "if-match")
    if tags is None:
        return
    named = [(table, request.path_params[name]) for name, table in _TABLES.items() if name in request.path_params]
    if not named:
        raise InvalidInput(
            "If-Match goes with one thing that has versions in the path; leave it out", kind="bad_condition"
        )
    for table, named_id in named:
        _require(db, table, named_id, tags)


def _require(db: sa.Connection, table: sa.Table, named_id: str, tags: set[str]) -> None:
    row = db.execute(
        sa.select(table.c.generation, table.c.created).where(table.c.id == bytes.fromhex(named_id))
    ).first()
    if row is not None and "*" not in tags and f'"{_version(*row)}' not in {each.rpartition("-")[0] for each in tags}:
        raise Conflict(f"this {table.name} was changed since you read it; read it again", kind=CHANGED)


def _tag(generation: int, created: float, body: bytes) -> str:
    return f'"{_version(generation, created)}-{hashlib.sha256(body).hexdigest()[:16]}"'


def _version(generation: int, created: float) -> str:
    return f"{generation}-{int(created * 1e6):x}"


def _tags(request: Request, header: str) -> set[str] | None:
    """None: there is no such header. Raises: InvalidInput."""
    values = request.headers.getlist(header)
    if not values:
        return None
    text = ", ".join(values).strip()
    if text == "*":
        return {"*"}
    tags = {each.strip() for each in text.split(",")}
    if not all(map(_TAG.fullmatch, tags)):
        raise InvalidInput(f"{header} is *, or tags in quotes as the ETag of an answer", kind="bad_condition")
    return tags
