# SPDX-License-Identifier: Apache-2.0
"""When devices were heard of last."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from e4c2 import events
from e4c2.columns import among, portions
from e4c2.model import client
from e4c2.rows import Realm, Row

SEEN_AFTER_S = 24 * 3600
"""A device of which nothing was heard for so long is told to be seen again."""


def heard(db: sa.Connection, realm: Realm, devices: Collection[Row]) -> None:
    """These have just answered; that is told of those of which nothing was heard for a day."""
    now = realm.clock()
    for ids in portions([row["id"] for row in devices]):
        db.execute(sa.update(client).where(among(db, client.c.id, ids)).values(last_report=now))
    seen = [row["name"] for row in devices if _is_news(row["last_report"], now)]
    if seen:
        events.tell_each(db, realm, events.Kind.CLIENT_SEEN, clients=seen)


def _is_news(last: object, now: float) -> bool:
    return not isinstance(last, int | float) or now - last > SEEN_AFTER_S
