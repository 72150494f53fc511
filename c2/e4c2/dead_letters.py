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
_NEWER = outbox.alias("newer")
_OVERTAKEN = sa.exists().where(
    *[_NEWER.c[name] == outbox.c[name] for name in ("client", "kind", "object")],
    _NEWER.c.id > outbox.c.id,
    _NEWER.c.state.not_in((Delivery.REFUSED.value, Delivery.SUPERSEDED.value)),
    sa.or_(_NEWER.c.purge, ~outbox.c.purge),
)
"""A newer one does, or has done, all that this was to do."""
_EMPTIES = {Kind.RESET_TOPICS: (Kind.TOPIC, Kind.NEXT), Kind.RESET_PEERS: (Kind.PEER,)}
_FILLED_SINCE = sa.exists().where(
    _NEWER.c.client == outbox.c.client,
    _NEWER.c.id > outbox.c.id,
    _NEWER.c.state == Delivery.CONFIRMED.value,
    sa.or_(*[sa.and_(outbox.c.kind == of.value, _NEWER.c.kind.in_(kinds)) for of, kinds in _EMPTIES.items()]),
)
"""To empty the device now would take from it what it has confirmed since."""


def expire(db: sa.Connection, realm: Realm) -> None:
    """Wait no longer for the answers of devices to what was sent long ago: when one says hello, it is waited for again (`revive`).

    So what erases a former key, which no digest shows, is done all the same when it is back. What was never sent waits on.
    """
    now = realm.clock()
    sent, ahead = outbox.c.state == Delivery.SENT.value, outbox.c.awaited_since > now
    db.execute(sa.update(outbox).where(sent, ahead).values(awaited_since=now))  # by a clock that was set back
    waits = [sent, outbox.c.awaited_since < now - realm.expires_s, outbox.c.kind.not_in(_LASTING)]
    if not realm.format.all_report:
        waits.append(outbox.c.client.in_(sa.select(client.c.id).where(client.c.reports)))
    count = db.execute(sa.update(outbox).where(*waits).values(state=Delivery.EXPIRED.value)).rowcount
    if count:
        events.tell(db, realm, events.Kind.DELIVERY_EXPIRED, count=count)


def revive(db: sa.Connection, realm: Realm, *devices: sa.ColumnElement[bool]) -> None:
    """These say hello: what they never answered is waited for from now on, and so comes to its end by what they answer now.

    Save what was overtaken: to do that now would end the grace of a key that was replaced later, or take it away.
    """
    expired = [*devices, outbox.c.state == Delivery.EXPIRED.value]
    overtaken = sa.or_(_OVERTAKEN, _FILLED_SINCE)
    db.execute(sa.update(outbox).where(*expired, overtaken).values(state=Delivery.SUPERSEDED.value))
    db.execute(sa.update(outbox).where(*expired).values(state=Delivery.SENT.value, awaited_since=realm.clock()))


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
