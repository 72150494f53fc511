# SPDX-License-Identifier: Apache-2.0
"""Deliveries that came to nothing: refused by a device, or never answered. They stay on record, and can be tried again."""

from __future__ import annotations

import sqlalchemy as sa

from e4c2 import commands, events
from e4c2.commands import Operation
from e4c2.model import Delivery, Kind, client, outbox
from e4c2.rows import Realm
from e4core.errors import Conflict, NotFound

DEAD = (Delivery.REFUSED.value, Delivery.EXPIRED.value)
_LASTING = (Kind.ID_KEY.value, Kind.C2_KEY.value)
"""Nothing else brings these about: they are waited for as long as it takes."""
_PASSING = (Kind.SYNC.value, Kind.SWITCH.value)
"""Of use only when they were sent."""


def expire(db: sa.Connection, realm: Realm) -> None:
    """Wait no longer for the answers of devices to what was sent long ago: when one says hello, it is caught up anyway.

    What was never sent waits on, and so does what erases a former key, as no later report would show that it does.
    """
    reports = outbox.c.client.in_(sa.select(client.c.id).where(client.c.reports))
    long_ago = outbox.c.second < realm.clock() - realm.expires_s
    lasting = sa.or_(outbox.c.kind.in_(_LASTING), outbox.c.purge.is_(True))
    waits = [outbox.c.state == Delivery.SENT.value, long_ago, reports, ~lasting]
    count = db.execute(sa.update(outbox).where(*waits).values(state=Delivery.EXPIRED.value)).rowcount
    if count:
        events.tell(db, realm, events.Kind.DELIVERY_EXPIRED, count=count)


def client_name(db: sa.Connection, number: int) -> str:
    """Of the client that a delivery is to. Raises: NotFound."""
    to = sa.select(client.c.name).join(outbox, outbox.c.client == client.c.id).where(outbox.c.id == number)
    found: str | None = db.scalar(to)
    if found is None:
        raise NotFound(there_is_none(number))
    return found


def there_is_none(number: int) -> str:
    return f"there is no command {number}"


def retry(db: sa.Connection, realm: Realm, number: int) -> Operation:
    """Bring the object of a dead delivery to the present at its device. Raises: NotFound. Conflict: it is not dead."""
    name = client_name(db, number)
    row = db.execute(sa.select(outbox).where(outbox.c.id == number)).mappings().one()
    if row["state"] not in DEAD:
        raise Conflict(f"command {number} is {row['state']}; only one that was refused or has expired is tried again")
    if row["kind"] in _PASSING:
        raise Conflict(f"command {number} only asked the device something then; it says hello by itself")
    operation = commands.begin(db, realm, "retry", name)
    commands.enqueue(db, realm, operation, [row["client"]], Kind(row["kind"]), row["object"], purge=bool(row["purge"]))
    db.execute(sa.update(outbox).where(outbox.c.id == number).values(state=Delivery.SUPERSEDED.value))
    return commands.count(db, operation)
