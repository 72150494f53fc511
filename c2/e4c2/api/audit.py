# SPDX-License-Identifier: Apache-2.0
"""``/v1/audit``: what was done and what was refused, and what proves that nobody has changed it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from e4c2.access.grants import Permission
from e4c2.api.caller import Asking
from e4c2.api.objects import WHOLE, no_object
from e4c2.api.values import Body, Page, Paging, cursor, page
from e4c2.audit import chain, checkpoints, verifying
from e4c2.audit.chain import Filter, Place
from e4c2.audit.records import Record
from e4c2.audit.verifying import Read
from e4c2.rows import Realm

router = APIRouter(prefix="/v1/audit", tags=["audit"])

_NUMBER = r"[0-9]{1,18}"
_PLACE = r"[0-9]{1,18}/[0-9a-f]{64}"


class Wanted(Paging):
    principal: str | None = Field(None, max_length=600, description="KIND/ID, or with a blank and the name behind it")
    action: str | None = Field(
        None, max_length=100, description="the operation id of a route, or what the C2 did by itself"
    )
    object: str | None = Field(None, max_length=2000, description="as client:ID or topic_name:NAME")
    outcome: str | None = Field(None, max_length=100, description="done, or the kind of an error")
    since: float | None = Field(None, allow_inf_nan=False, description="Unix seconds")
    until: float | None = Field(None, allow_inf_nan=False, description="Unix seconds, not included")

    def filter(self) -> Filter:
        return Filter(self.principal, self.action, self.object, self.outcome, self.since, self.until)


class Log(BaseModel):
    public_key: str = Field(description="of the pair that signs checkpoints; write it down elsewhere")
    base: int = Field(description="the last record that is not kept any more; 0: all are")
    base_hash: str = Field(description="of all up to there")
    last: int = Field(description="the last record")
    last_hash: str = Field(description="of all up to there")


class Checkpoint(BaseModel):
    database: str
    number: int = Field(description="of the last record that it is about")
    time: float
    hash: str = Field(description="of all records up to that one")
    signature: str = Field(description="in base64")


class Verified(BaseModel):
    number: int = Field(description="all records up to this one are as they were written, for all that the C2 can tell")
    hash: str = Field(description="of all up to there")
    next: str | None = Field(description="`cursor` of the next call; null at the end")


class Prune(Body):
    before: float = Field(allow_inf_nan=False, description="Unix seconds; what is younger stays")


class Pruned(BaseModel):
    base: int = Field(description="the last record that is not kept any more; a checkpoint is about it")


@router.get("", summary="List what was done and what was refused, by number")
async def list_(asking: Asking, query: Annotated[Wanted, Query()]) -> Page[Record]:
    after = int(query.after(_NUMBER) or 0)
    read = no_object(chain.page)
    rows = await asking.read(Permission.AUDIT_READ, WHOLE, read, query.filter(), after, query.limit + 1)
    return page(rows, query.limit, lambda record: str(record.number))


@router.get("/log", summary="Show where the log begins and ends, and who signs its checkpoints")
async def show(asking: Asking) -> Log:
    return await asking.read(Permission.AUDIT_READ, WHOLE, no_object(_log))


@router.get("/checkpoints", summary="List the signed checkpoints, by number")
async def list_checkpoints(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Checkpoint]:
    after = int(query.after(_NUMBER) or 0)
    rows = await asking.read(Permission.AUDIT_READ, WHOLE, no_object(checkpoints.page), after, query.limit + 1)
    return page([Checkpoint(**each.document()) for each in rows], query.limit, lambda each: str(each.number))


@router.get("/verification", summary="Verify the next records")
async def verify(asking: Asking, query: Annotated[Paging, Query()]) -> Verified:
    """500 `audit_missing`, `audit_changed`, `audit_cut_off`: which record is the first that is not as it was written."""
    after = _place(query.after(_PLACE))
    read = await asking.read(Permission.AUDIT_READ, WHOLE, no_object(verifying.verify), after, query.limit)
    return _verified(read)


@router.post("/prune", response_model=Pruned, summary="Delete old records, up to a checkpoint")
async def prune(asking: Asking, what: Prune) -> Response:
    """409 `conflict`: no checkpoint is that old. 500 `tampered`: what would be deleted is not as it was written; it stays."""
    return await asking.change(HTTPStatus.OK, Permission.AUDIT_PRUNE, WHOLE, no_object(_prune), what.before)


def _log(db: sa.Connection, realm: Realm) -> Log:
    kept = chain.extent(db, realm)
    return Log(
        public_key=str(checkpoints.public_key(db, realm)),
        base=kept.base.number,
        base_hash=kept.base.hash.hex(),
        last=kept.head.number,
        last_hash=kept.head.hash.hex(),
    )


def _prune(db: sa.Connection, realm: Realm, before: float) -> dict[str, Any]:
    return {"base": checkpoints.prune(db, realm, before).number}


def _place(mark: str) -> Place | None:
    number, _, upto = mark.partition("/")
    return Place(int(number), bytes.fromhex(upto)) if mark else None


def _verified(read: Read) -> Verified:
    number, upto = read.upto.number, read.upto.hash.hex()
    return Verified(number=number, hash=upto, next=None if read.is_end else cursor(f"{number}/{upto}"))
