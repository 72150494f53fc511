# SPDX-License-Identifier: Apache-2.0
"""``/v1/topics/{topic}/protect`` and ``/unprotect``: for programs that take part in a topic through the C2."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response
from pydantic import Field

from e4c2 import traffic
from e4c2.access.grants import Permission
from e4c2.access.principal import Access
from e4c2.api import objects
from e4c2.api.caller import Asking, Caller
from e4c2.api.values import Base64, Body, Id
from e4c2.traffic import Protected, Unprotected
from e4core.errors import Denied

router = APIRouter(prefix="/v1/topics", tags=["topics"])

SWITCHED_OFF = "switched_off"


class Plain(Body):
    payload: Base64 = Field(repr=False, description="what members of the topic are to read; not empty in Format 1")


class Sealed(Body):
    message: Base64 = Field(description="what was published on the topic")


@router.post("/{topic}/protect", response_model=Protected, summary="Protect a payload for the members of a topic")
async def protect(asking: Asking, topic: Id, plain: Plain) -> Response:
    """Nothing is published. 403 `switched_off`: the setting `protect` of the C2. 409 `unsupported`: in suites with signatures,
    where only a device protects. 429 `rate_exceeded`: equal payloads too fast. Nothing is done once for an `Idempotency-Key`.
    """
    _require(asking, Permission.TOPICS_PROTECT, asking.c2.protects, "protect")
    of, payload = objects.Topic(topic), plain.payload
    return await asking.forgetting().change(HTTPStatus.OK, Permission.TOPICS_PROTECT, of, traffic.protect, payload)


@router.post("/{topic}/unprotect", response_model=Unprotected, summary="Unprotect a message of a topic, once")
async def unprotect(asking: Asking, topic: Id, sealed: Sealed) -> Response:
    """As a device does: a message of the last ten minutes, under the key of now, of an active member where messages are signed.

    403 `switched_off`: the setting `unprotect` of the C2. 409 `replayed`: it was unprotected before. 409 `timestamp_old`,
    `timestamp_future`, `epoch_unknown`, `epoch_retired`, `unknown_sender`. 422 `not_authentic`, `bad_signature`, `too_short`,
    `bad_length`, `bad_version`. Nothing is done once for an `Idempotency-Key`: an answer that is lost is lost.
    """
    _require(asking, Permission.TOPICS_UNPROTECT, asking.c2.unprotects, "unprotect")
    of, message = objects.Topic(topic), sealed.message
    return await asking.forgetting().change(HTTPStatus.OK, Permission.TOPICS_UNPROTECT, of, traffic.unprotect, message)


def _require(asking: Caller, permission: Permission, is_on: bool, setting: str) -> None:
    """Raises: Denied: not for them (``forbidden``), or for nobody here (`SWITCHED_OFF`)."""
    Access(asking.principal, permission)
    if not is_on:
        raise Denied(f"this C2 does not {setting} messages: its setting {setting} is false", kind=SWITCHED_OFF)
