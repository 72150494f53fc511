# SPDX-License-Identifier: Apache-2.0
"""How a device comes to a new key, by format (`design.md` section 5, rule 4)."""

from __future__ import annotations

import os

import sqlalchemy as sa

from e4c2.format import KeyChange
from e4c2.model import Delivery, Kind, outbox
from e4c2.rows import Realm, Row
from e4core.errors import Conflict
from e4core.report import NONCE_LEN, REFUSALS
from e4core.suite import Suite

ARRIVES_WITHIN_S = 660
"""After this a command of Format 1 is too old for every device: 600 s, and a minute for their clocks."""


def _made_here(suite: Suite) -> dict[str, bytes | None]:
    private = suite.device.generate()
    return {"pending_key": suite.device.public(suite.device.load(private)), "pending_private": private}


def _made_there(_suite: Suite) -> dict[str, bytes | None]:
    """The device makes it; what is sent is a nonce, which its offer names."""
    return {"pending_key": None, "pending_private": os.urandom(NONCE_LEN)}


def _begin2(suite: Suite) -> dict[str, bytes | None]:
    return (_made_here if suite.is_symmetric else _made_there)(suite)


def _check_cancel1(db: sa.Connection, realm: Realm, row: Row) -> None:
    sealed = sa.select(sa.func.max(outbox.c.second)).where(
        outbox.c.client == row["id"], outbox.c.kind == Kind.ID_KEY.value
    )
    wait = (db.scalar(sealed) or 0) + ARRIVES_WITHIN_S - realm.clock()
    if wait > 0:
        raise Conflict(f"the command with the new key may still reach the device; cancel in {wait:.0f} s, or confirm")


def _check_cancel2(db: sa.Connection, realm: Realm, row: Row) -> None:
    """Commands never get too old. A device that makes its key uses it only after one that is sealed under it.

    One that has refused the change has none under way: it would have said so under that key.
    """
    if realm.suite.is_symmetric:
        mine = [outbox.c.client == row["id"], outbox.c.kind == Kind.ID_KEY.value]
        refused = [outbox.c.state == Delivery.REFUSED.value, outbox.c.refusal.in_(REFUSALS)]
        may_have = sa.and_(outbox.c.attempts > 0, ~sa.and_(*refused))
        may_switch = bool(db.scalar(sa.select(may_have).where(*mine).order_by(outbox.c.id.desc()).limit(1)))
    else:
        may_switch = row["pending_key"] is not None
    if may_switch:
        raise Conflict("the device may use its new key already; it confirms that itself, whenever it is back")


FORMAT1 = KeyChange(_made_here, _check_cancel1, operators_confirm=True)
FORMAT2 = KeyChange(_begin2, _check_cancel2, operators_confirm=False)
