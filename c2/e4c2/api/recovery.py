# SPDX-License-Identifier: Apache-2.0
"""``/v1/recovery``: a C2 that was restored from a backup, and is paused until its members are confirmed."""

from __future__ import annotations

from http import HTTPStatus

import sqlalchemy as sa
from fastapi import APIRouter, Response
from pydantic import Field

from e4c2.access.grants import Permission
from e4c2.access.principal import Access
from e4c2.api.caller import Asking
from e4c2.api.objects import SEEN, WHOLE, no_object
from e4c2.api.values import Body, Id
from e4c2.audit import checkpoints
from e4c2.audit.chain import Place
from e4c2.audit.checkpoints import Comparison
from e4c2.audit.signing import Checkpoint
from e4c2.commands import Operation
from e4c2.recovery import confirming
from e4c2.recovery.confirming import Recovery
from e4c2.rows import Realm
from e4core.errors import RateExceeded

router = APIRouter(prefix="/v1/recovery", tags=["recovery"])


class Witnessed(Body):
    """A checkpoint of the audit log, as it was published."""

    database: str = Field(description="id of the database, in hexadecimal")
    number: int = Field(ge=1, lt=2**63, description="of the last record that it is over")
    time: float = Field(description="when it was made")
    hash: str = Field(description="of all records up to that one, in hexadecimal")
    signature: str = Field(description="by the C2's key for checkpoints, in base64")


class Confirmation(Body):
    backup: Id = Field(description="of the backup whose members were looked at, in hexadecimal")


@router.get("", summary="Whether this C2 is paused after a restore, from which backup, and what is unknown since")
async def show(asking: Asking) -> Recovery:
    return await asking.read(Permission.C2_READ, SEEN, _show)


@router.post("/compare", summary="How the audit log of this C2 stands to a checkpoint that a witness has kept")
async def compare(asking: Asking, witnessed: Witnessed) -> Comparison:
    """The C2 verifies its log up to there, which takes seconds for each 100,000 records. 422 `bad_checkpoint`: it is none. 422
    `bad_signature`: it is of another C2. 429 `rate_exceeded`: it compares already. 500 `tampered`: the log says something else.
    """
    await asking.admit(Permission.AUDIT_READ, WHOLE)
    checkpoint, compare = Checkpoint.parse(witnessed.model_dump()), no_object(checkpoints.compare)
    if asking.c2.comparing.locked():
        raise RateExceeded("this C2 compares its audit log with a checkpoint already; try again when that is done")
    async with asking.c2.comparing:
        found = await asking.read(Permission.AUDIT_READ, WHOLE, compare, checkpoint)
        while isinstance(found, Place):  # in portions, so that others have their turns at the database
            found = await asking.read(Permission.AUDIT_READ, WHOLE, compare, checkpoint, found)
    return found


@router.post(
    "/confirm",
    status_code=202,
    response_model=Operation,
    summary="Confirm clients and members after a restore: every topic gets a new key, and commands leave again",
)
async def confirm(asking: Asking, confirmation: Confirmation) -> Response:
    """409 `not_paused`: there is nothing to confirm. 409 `conflict`: it is another backup. 409 `bad_clock`: it was set back."""
    return await asking.change(
        HTTPStatus.ACCEPTED, Permission.RECOVERY_CONFIRM, WHOLE, no_object(confirming.confirm), confirmation.backup
    )


def _show(db: sa.Connection, realm: Realm, access: Access) -> Recovery:
    return confirming.show(db, realm, access.sees_all)
