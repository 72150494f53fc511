# SPDX-License-Identifier: Apache-2.0
"""``/v1/kms``: the database's own keys, who can open them, and what is still under former ones."""

from __future__ import annotations

from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from e4c2 import deks, key_acts, resealing
from e4c2.access.grants import Permission
from e4c2.api.caller import Asking
from e4c2.api.objects import WHOLE, no_object
from e4c2.api.values import Body, Page, Paging, Parameters, cursor
from e4c2.providers import Provider
from e4c2.resealing import Mark
from e4c2.rows import Realm
from e4kms import deks as stored
from e4kms.deks import Purpose, State

router = APIRouter(prefix="/v1/kms", tags=["kms"])

_MARK = r"[a-z0-9_/]{1,600}"
_PURPOSES = {purpose.value: purpose for purpose in Purpose}


def _purpose(value: object) -> Purpose:
    # not made from the string, for a purpose takes any other for the sign of a changed database
    if isinstance(value, str) and value in _PURPOSES:
        return _PURPOSES[value]
    raise PydanticCustomError("purpose", "should be one of {names}", {"names": ", ".join(_PURPOSES)})


Of = Annotated[Purpose, PlainValidator(_purpose), WithJsonSchema({"type": "string", "enum": list(_PURPOSES)})]
Version = Annotated[int, Path(ge=1, lt=2**32)]


class Wrap(BaseModel):
    uri: str = Field(description="the KMS that opens it, as the settings named it")
    key_id: str = Field(description="the key encryption key there")
    mechanism: str = Field(description="how it is wrapped")


class Dek(BaseModel):
    purpose: Purpose
    version: int
    state: State
    wraps: list[Wrap] = Field(description="any one opens the key; in the order in which they are tried")


class Status(BaseModel):
    held_s: float | None = Field(description="for how long the keys are held without a KMS; null: for ever")
    failure: str | None = Field(description="why they could not be opened anew lately")
    stopped: str | None = Field(description="why rows do not follow to the newest keys")
    waits: str | None = Field(description="why commands or reports wait for the token of the C2's own key")
    behind: dict[Purpose, int] = Field(description="rows that are under a former version, by purpose")
    passed_over: int = Field(description="rows that stay there, as somebody changed them in the database")
    rows: int = Field(description="that are sealed or carry a MAC")
    deks: list[Dek]


class NewWrap(Body):
    uri: str = Field(description="one of the settings")
    first: bool = Field(False, description="try it before all others")


class At(Body):
    uri: str = Field(description="of the wrap")


class Checked(BaseModel):
    lost: str | None = Field(
        description="which of its shares do not open, where enough others do; null: all of it does"
    )


class Rehearsal(Parameters):
    dry_run: bool = Field(False, description="only say whether it would be refused")


class Looked(BaseModel):
    checked: int = Field(description="rows, all of which are right")
    next: str | None = Field(description="`cursor` of the next call; null at the end")


@router.get("", summary="Show the keys of the database, who can open them, and what is under former ones")
async def show(asking: Asking) -> Status:
    keys, behind, rows = await asking.read(Permission.KMS_READ, WHOLE, no_object(_all))
    left = asking.c2.realm.keyring.seconds_left
    return Status(
        held_s=None if left == float("inf") else left,
        failure=asking.c2.locksmith.failure,
        stopped=asking.c2.locksmith.stopped,
        waits=asking.c2.courier.failure,
        behind=behind,
        passed_over=asking.c2.locksmith.passed_over,
        rows=rows,
        deks=[_view(dek) for dek in keys],
    )


@router.get("/providers", summary="List the configured KMSes, and whether they answer")
async def providers(asking: Asking) -> Page[Provider]:
    return Page(items=await (await asking.locksmith(Permission.KMS_READ)).providers(), next=None)


@router.post("/deks/{purpose}/{version}/rotate", status_code=202, summary="Make the version that follows this one")
async def rotate(asking: Asking, purpose: Of, version: Version) -> Dek:
    """What is under this one follows by and by; then it is destroyed, unless tokens or the audit log are under it.

    409 `conflict`: it is not the active one; rows of the rotation before are still behind; or a KMS opens it, beside others, that
    the settings do not name, and that would not open the next one. 503 `kms_unavailable`.
    """
    return _view(
        await asking.keys(lambda smith, act: smith.rotate(purpose, version, act), key_acts.name(purpose, version))
    )


@router.post("/deks/{purpose}/{version}/wraps", status_code=201, summary="Let another KMS open a version")
async def add_wrap(asking: Asking, purpose: Of, version: Version, new: NewWrap) -> Dek:
    """409 `conflict`: it can already. 422 `invalid_input`: not one of the settings."""
    return _view(
        await asking.keys(
            lambda smith, act: smith.add_wrap(purpose, version, new.uri, new.first, act),
            key_acts.name(purpose, version),
        )
    )


@router.post("/deks/{purpose}/{version}/wraps/remove", summary="Take a version's wrap by a KMS away")
async def remove_wrap(
    asking: Asking, purpose: Of, version: Version, at: At, query: Annotated[Rehearsal, Query()]
) -> Dek:
    """404 `not_found`: it has none. 409 `conflict`: nothing else opens the version now."""
    return _view(
        await asking.keys(
            lambda smith, act: smith.remove_wrap(purpose, version, at.uri, query.dry_run, act),
            key_acts.name(purpose, version),
        )
    )


@router.post("/deks/{purpose}/{version}/wraps/rewrap", summary="Wrap a version anew, under the KMS's newest key")
async def rewrap(asking: Asking, purpose: Of, version: Version, at: At) -> Dek:
    """404 `not_found`: it has no wrap there. 422 `invalid_input`: not one of the settings."""
    return _view(
        await asking.keys(
            lambda smith, act: smith.rewrap(purpose, version, at.uri, act), key_acts.name(purpose, version)
        )
    )


@router.post("/deks/{purpose}/{version}/wraps/check", summary="Prove that a wrap opens")
async def check_wrap(asking: Asking, purpose: Of, version: Version, at: At) -> Checked:
    """404 `not_found`: it has no wrap there. 500 `tampered`: it opens to something else."""
    return Checked(lost=await (await asking.locksmith(Permission.KMS_CHANGE)).check_wrap(purpose, version, at.uri))


@router.post(
    "/deks/{purpose}/{version}/retire", summary="Destroy a former version: nothing in this database opens it then"
)
async def retire(asking: Asking, purpose: Of, version: Version, query: Annotated[Rehearsal, Query()]) -> Dek:
    """Those of `records` and `authority` are destroyed by themselves, when all rows have left them. A backup has wraps of its own,
    and opens as long as a KMS opens these. With a version of `lookup` go the answers of the last 24 hours that are found by it.

    409 `conflict`: it is not a former one, or something is still under it.
    """
    return _view(
        await asking.keys(
            lambda smith, act: smith.retire(purpose, version, query.dry_run, act), key_acts.name(purpose, version)
        )
    )


@router.get("/rows", summary="Open and verify the next rows of the database")
async def look(asking: Asking, query: Annotated[Paging, Query()]) -> Looked:
    """500 `tampered`: a row was changed, or is missing."""
    after = query.after(_MARK)
    found = await asking.read(
        Permission.KMS_READ, WHOLE, no_object(resealing.look), Mark.parse(after) if after else None, query.limit
    )
    return Looked(checked=found.checked, next=None if found.after is None else cursor(str(found.after)))


def _all(db: sa.Connection, realm: Realm) -> tuple[list[stored.Dek], dict[Purpose, int], int]:
    return deks.load(db), resealing.behind(db, realm), resealing.total(db)


def _view(dek: stored.Dek) -> Dek:
    wraps = [Wrap(uri=each.uri, key_id=each.wrapped.key_id, mechanism=each.wrapped.mechanism) for each in dek.wraps]
    return Dek(purpose=dek.purpose, version=dek.version, state=dek.state, wraps=wraps)
