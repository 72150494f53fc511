# SPDX-License-Identifier: Apache-2.0
"""Format 1: from a delivery to the bytes on the control topic, every grant checked again, the content read, a fresh second.

A delivery that would have to lie in the future waits. One that rests on a row that was tampered with is refused, and those of other
devices go on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

import sqlalchemy as sa

from e4c2 import c2keys, clocks, present, replicas
from e4c2.clocks import Clock
from e4c2.commands import BATCH, WAITS_AT_MOST_S
from e4c2.format import Sealed
from e4c2.lanes import lanes, walk
from e4c2.model import Delivery, Kind, Status, client, outbox
from e4c2.present import Present
from e4c2.rows import Realm, Row, plain, reveal
from e4c2.setwise import Setwise
from e4core.command import (
    Command,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    SetTopicKey,
    encode,
)
from e4core.keys import ClientId, TopicHash, control_topic
from e4core.suite import AeadKey

TAG = slice(8, 24)


def claim(db: sa.Connection, realm: Realm, limit: int = BATCH) -> list[Sealed]:
    """Seal the next pending deliveries, at most ``limit`` up to `BATCH`, and mark them as being sent.

    Raises: Tampered: a key of the C2 itself. KmsUnavailable: the database's keys are held no longer.
    """
    realm.keyring.require()
    now = realm.clock()
    busy = replicas.busy(db, realm)
    rows = [] if busy is None else _next(db, now, min(limit, BATCH), busy)
    if not rows:
        return []
    c2_keys = c2keys.versions(db, realm)
    sound, here = present.read_sound(db, rows, lambda some: present.read(db, realm, some, c2_keys))
    used = clocks.of(db, here.clients, int(now))
    sealed: list[Sealed] = []
    waiting: dict[bytes, float] = {}
    for row in sound:
        if row["client"] in waiting:
            continue
        ready = _seal(realm, row, here, used[row["client"]], int(now))
        if isinstance(ready, Sealed):
            sealed.append(ready)
        else:
            waiting[row["client"]] = ready
    _mark(db, realm, sealed, waiting)
    return sealed


_NOW = sa.bindparam("now", type_=sa.Float)
_EARLIER = outbox.alias("earlier")
_HELD_BACK = sa.exists().where(
    _EARLIER.c.client == outbox.c.client,
    _EARLIER.c.state == Delivery.PENDING.value,
    _EARLIER.c.not_before > _NOW,
    _EARLIER.c.not_before <= _NOW + WAITS_AT_MOST_S,
    _EARLIER.c.id <= outbox.c.id,
)
"""One that waits holds back all later ones of its device (rule 2)."""
_NEXT = (
    sa.select(outbox.c.id, outbox.c.client, outbox.c.kind, outbox.c.object, outbox.c.purge, outbox.c.attempts)
    .where(outbox.c.state == Delivery.PENDING.value, outbox.c.id > sa.bindparam("last"), ~_HELD_BACK)
    .order_by(outbox.c.id)
)


def _next(db: sa.Connection, now: float, limit: int, busy: Collection[bytes]) -> list[Row]:
    """Pending deliveries in their order, lane by lane; none to devices that are ``busy``."""
    found: list[sa.Row[Any]] = []
    for lane in lanes(db, now, limit):
        found += islice(walk(db, _NEXT.where(*lane), busy, now=now), limit - len(found))
    return plain(found)


def _seal(realm: Realm, row: Row, here: Present, clock: Clock, now: int) -> Sealed | float:
    """The delivery, sealed; or the second for which it must wait."""
    of, kind, target = here.clients[row["client"]], Kind(row["kind"]), row["object"]
    commands = _commands(realm, kind, target, bool(row["purge"]), of, here)
    if not commands:
        return Sealed(row["id"], of["id"])
    first = clock.earliest(kind, target, now)
    last = first + len(commands) - 1
    if last > now:
        return float(last)
    clock.use(kind, target, last)
    keys = [channel.command_key for channel in present.channels(realm, here.c2_keys, of).values()]
    payloads = [_protect(key, encode(each), second) for second, each in enumerate(commands, first) for key in keys]
    tags = [payload[TAG] for payload in payloads]
    return Sealed(
        id=row["id"],
        client=of["id"],
        topic=control_topic(ClientId(of["id"])),
        payloads=tuple(payloads),
        second=last,
        tags=b"".join(tags[-len(keys) :]),
        purge_tags=b"".join(tags[: -len(keys)]),
        attempt=row["attempts"] + 1,
    )


def _commands(realm: Realm, kind: Kind, target: bytes, purge: bool, of: Row, here: Present) -> list[Command]:
    """What brings ``target`` at this device to the present; nothing at all for one that is suspended."""
    if of["status"] != Status.ACTIVE:
        return []
    match kind:
        case Kind.TOPIC:
            return _topic(TopicHash(target), purge, of, here)
        case Kind.PEER:
            return [_peer(target, of, here)]
        case Kind.RESET_TOPICS:
            return [ResetTopics()]
        case Kind.RESET_PEERS:
            return [ResetPubKeys()]
        case Kind.SYNC:
            return [RemoveTopic(TopicHash(target))]
        case Kind.C2_KEY:
            return [SetC2Key(here.c2_keys.newest_public)]
        case Kind.ID_KEY:
            return [SetIDKey(reveal(realm, client, of, "pending_private"))] if of["pending_private"] else []
        case Kind.SWITCH | Kind.NEXT:
            return []


def _topic(target: TopicHash, purge: bool, of: Row, here: Present) -> list[Command]:
    key = here.topic_key(target, of)
    if key is None:
        return [RemoveTopic(target)]
    forget: list[Command] = [RemoveTopic(target)] if purge else []
    return [*forget, SetTopicKey(key, target)]


def _peer(target: bytes, of: Row, here: Present) -> Command:
    public = here.peer_key(target, of)
    return RemovePubKey(ClientId(target)) if public is None else SetPubKey(public, ClientId(target))


def _protect(key: AeadKey, command: bytes, second: int) -> bytes:
    header = second.to_bytes(8, "little")
    return header + key.seal(b"", command, header)


def _mark(db: sa.Connection, realm: Realm, sealed: list[Sealed], waiting: Mapping[bytes, float]) -> None:
    _SEALED(
        db,
        [
            {
                "row": each.id,
                "state": (Delivery.SENDING if each.payloads else Delivery.SUPERSEDED).value,
                "second": each.second,
                "tags": each.tags,
                "purge_tags": each.purge_tags,
                "holder": realm.replica,
            }
            for each in sealed
        ],
    )
    _WAITING(db, [{"of": identity, "not_before": second} for identity, second in waiting.items()])


_MARKS = ("state", "second", "tags", "purge_tags", "holder")
_SEALED = Setwise(
    {"row": outbox.c.id.type, **{name: outbox.c[name].type for name in _MARKS}},
    lambda to: (
        sa.update(outbox)
        .where(outbox.c.id == to["row"])
        .values({name: to[name] for name in _MARKS} | {"attempts": outbox.c.attempts + 1})
    ),
)
_WAITING = Setwise(
    {"of": outbox.c.client.type, "not_before": outbox.c.not_before.type},
    lambda to: (
        sa.update(outbox)
        .where(outbox.c.client == to["of"], outbox.c.state == Delivery.PENDING.value)
        .values(not_before=to["not_before"])
    ),
)
