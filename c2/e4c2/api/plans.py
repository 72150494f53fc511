# SPDX-License-Identifier: Apache-2.0
"""``/v1/topics/{topic}/plans``: rotations whose key is at the members before anybody uses it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from e4c2 import plans
from e4c2.access.grants import Permission
from e4c2.api import objects
from e4c2.api.caller import Asking
from e4c2.api.values import Body, Id, Page, Paging, page
from e4c2.model import AtDeadline
from e4c2.plans import LONGEST_S, Plan, Terms

router = APIRouter(prefix="/v1/topics/{topic}/plans", tags=["plans"])

_TIME = r"[0-9]{1,12}(\.[0-9]{1,9})?"


class NewPlan(Body):
    quorum: float = Field(1.0, gt=0, le=1, description="share of the active members that must hold the key")
    within_s: float = Field(24 * 3600, gt=0, le=LONGEST_S, description="seconds from now to the deadline")
    at_deadline: AtDeadline = Field(
        AtDeadline.ACTIVATE, strict=False, description="what is done if the key is not in use by then"
    )
    automatic: bool = Field(True, description="false: at the quorum it waits for an operator, until the deadline")


class Activation(Body):
    force: bool = Field(False, description="although the quorum does not hold the key")


@router.post("", status_code=201, response_model=Plan, summary="Send the next key of a topic to all, to be held")
async def create(asking: Asking, topic: Id, new: NewPlan) -> Response:
    """409 `conflict`: a plan is under way, or evicted clients still know the key. 409 `unsupported`: in suites of Format 1."""
    terms = Terms(new.quorum, new.within_s, new.at_deadline, new.automatic)
    return await asking.change(HTTPStatus.CREATED, Permission.TOPICS_ROTATE, objects.Topic(topic), plans.begin, terms)


@router.get("", summary="List the plans of a topic, the newest first")
async def list_(asking: Asking, topic: Id, query: Annotated[Paging, Query()]) -> Page[Plan]:
    before = float(query.after(_TIME) or 0)
    found = await asking.read(Permission.TOPICS_READ, objects.Topic(topic), plans.page, before, query.limit + 1)
    return page(found, query.limit, lambda plan: repr(plan.created))


@router.get("/{plan}", summary="Show a plan, and how many members hold its key")
async def show(asking: Asking, topic: Id, plan: Id) -> Plan:
    return await asking.read(Permission.TOPICS_READ, objects.Topic(topic), plans.show, plan)


@router.post("/{plan}/activate", response_model=Plan, summary="Use the key from now on")
async def activate(asking: Asking, topic: Id, plan: Id, activation: Activation) -> Response:
    """409 `conflict`: it is in use, or was given up; or the quorum does not hold it, and this is not forced."""
    how = (plan, activation.force)
    return await asking.change(HTTPStatus.OK, Permission.TOPICS_ROTATE, objects.Topic(topic), plans.activate, *how)


@router.post("/{plan}/abort", response_model=Plan, summary="Never use the key; who holds it is told to forget it")
async def abort(asking: Asking, topic: Id, plan: Id) -> Response:
    """409 `conflict`: it is in use, or was given up."""
    return await asking.change(HTTPStatus.OK, Permission.TOPICS_ROTATE, objects.Topic(topic), plans.abort, plan)
