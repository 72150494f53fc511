# SPDX-License-Identifier: Apache-2.0
"""``/v1/approvals``: what waits for somebody else to approve it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response

from e4c2 import approvals
from e4c2.access.grants import Permission
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN
from e4c2.api.values import Id, Page, Paging, page
from e4c2.approvals import Approval

router = APIRouter(prefix="/v1/approvals", tags=["approvals"])

_ID = r"[0-9a-f]{32}"


@router.get("", summary="List the approvals that you have asked for, or may decide")
async def list_(asking: Asking, query: Annotated[Paging, Query()]) -> Page[Approval]:
    rows = await asking.read(Permission.APPROVALS_READ, SEEN, approvals.page, query.after(_ID), query.limit + 1)
    return page(rows, query.limit, lambda each: each.id)


@router.get("/{approval}", summary="Show an approval, and what was asked")
async def show(asking: Asking, approval: Id) -> Approval:
    return await asking.read(Permission.APPROVALS_READ, objects.Approval(approval), approvals.show)


@router.post("/{approval}/approve", response_model=Approval, summary="Let be done what another has asked for")
async def approve(asking: Asking, approval: Id) -> Response:
    """Who asked then sends the very same request again, with the header `E4-Approval`.

    403 `own_request`: you have asked for it yourself. 409 `conflict`: it is decided, or has expired.
    """
    decided = objects.Approval(approval)
    return await asking.change(HTTPStatus.OK, Permission.APPROVALS_DECIDE, decided, approvals.approve)


@router.post("/{approval}/refuse", response_model=Approval, summary="Do not let be done what another has asked for")
async def refuse(asking: Asking, approval: Id) -> Response:
    """403 `own_request`: you have asked for it yourself. 409 `conflict`: it is decided, or has expired."""
    decided = objects.Approval(approval)
    return await asking.change(HTTPStatus.OK, Permission.APPROVALS_DECIDE, decided, approvals.refuse)
