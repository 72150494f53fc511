# SPDX-License-Identifier: Apache-2.0
"""Which devices come first: those to which a revocation goes, however much routine waits. Each still gets its own in order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa

from e4c2.columns import PORTION
from e4c2.model import Delivery, operation, outbox

URGENT = (
    "leave",
    "rekey",
    "remove_client",
    "remove_clients",
    "remove_topic",
    "unlink",
    "reset_links",
    "new_key_compromised",
    "new_c2_key_compromised",
)
"""Kinds of operations that take something away from somebody."""
FIRST_FOR_S = 3600
"""How long they come first; a device that is not reached until then waits like others."""

Lane = list[sa.ColumnElement[bool]]
_LATELY = sa.select(operation.c.id).where(operation.c.kind.in_(URGENT), operation.c.created > sa.bindparam("since"))
_REVOKED = (
    sa.select(outbox.c.client)
    .distinct()
    .where(outbox.c.operation.in_(_LATELY), outbox.c.state == Delivery.PENDING.value)
)


def lanes(db: sa.Connection, now: float, limit: int) -> Iterator[Lane]:
    """What holds of the deliveries of each lane, in the order in which they are to be sent."""
    first = list(db.scalars(_REVOKED.limit(limit), {"since": now - FIRST_FOR_S}))
    if first:
        yield [outbox.c.client.in_(first)]
        yield [outbox.c.client.not_in(first)]
    else:
        yield []


def walk(
    db: sa.Connection, statement: sa.Select[Any], busy: Collection[bytes], **given: object
) -> Iterator[sa.Row[Any]]:
    """Deliveries by their ids, a page at a time, save those to devices that are ``busy``.

    Args: statement: selects ``id`` and ``client`` first, and orders by ``id``, of what comes after the parameter ``last``.
    """
    last = 0
    while rows := db.execute(statement.limit(PORTION), {"last": last, **given}).all():
        yield from (row for row in rows if row.client not in busy)
        last = rows[-1].id
        if len(rows) < PORTION:
            return
