# SPDX-License-Identifier: Apache-2.0
"""From a delivery to the bytes on the control topic: every grant checked again, the content read, sealed with a fresh second.

A delivery that would have to lie in the future waits. One that rests on a row that was tampered with is refused, and those of other
devices go on.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from e4c2 import c2keys, clocks
from e4c2.clocks import Clock
from e4c2.commands import NO_OBJECT, WAITS_AT_MOST_S
from e4c2.model import Delivery, Kind, Status, client, link, membership, outbox, topic
from e4c2.rows import Realm, Row, find_ids, reveal, strange
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
from e4core.errors import Tampered
from e4core.keys import ClientId, TopicHash, TopicKey, control_topic
from e4core.suite import AeadKey, Channel

log = logging.getLogger(__name__)

TAG = slice(8, 24)
BATCH = 500
"""Deliveries sealed in one transaction."""
_KINDS = frozenset(kind.value for kind in Kind)
_ATTEMPTS = range(2**31)


class Sealed(NamedTuple):
    """One delivery, ready to publish, in this order; without payloads where nothing is to be sent any more."""

    id: int
    client: bytes
    topic: str = ""
    payloads: tuple[bytes, ...] = ()
    second: int | None = None
    tags: bytes = b""
    """SIV tags of its last command, 16 bytes each, one for each key it is sealed under."""
    purge_tags: bytes = b""
    """Those of the command before it, if there are two."""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    """All that a batch of deliveries needs, read by a handful of statements and checked."""

    clients: Mapping[bytes, Row]
    topic_keys: Mapping[bytes, TopicKey]
    peer_keys: Mapping[bytes, bytes]
    memberships: frozenset[tuple[bytes, bytes]]
    links: frozenset[tuple[bytes, bytes]]
    clocks: Mapping[bytes, Clock]
    c2_keys: c2keys.Versions


def claim(db: sa.Connection, realm: Realm, limit: int = BATCH) -> list[Sealed]:
    """Seal the next pending deliveries, at most ``limit`` up to `BATCH`, and mark them as being sent.

    Raises: Tampered: a key of the C2 itself. KmsUnavailable: the database's keys are held no longer. KmsError: a token that holds
    the C2's own key.
    """
    realm.keyring.require()
    now = realm.clock()
    rows = _next(db, now, min(limit, BATCH))
    if not rows:
        return []
    c2_keys = c2keys.versions(db, realm)
    try:
        batch = _read(db, realm, rows, c2_keys, int(now))
    except Tampered:
        rows = list(_sound(db, realm, rows, c2_keys, int(now)))
        batch = _read(db, realm, rows, c2_keys, int(now))
    sealed: list[Sealed] = []
    waiting: dict[bytes, float] = {}
    for row in rows:
        if row["client"] in waiting:
            continue
        ready = _seal(realm, row, batch, int(now))
        if isinstance(ready, Sealed):
            sealed.append(ready)
        else:
            waiting[row["client"]] = ready
    _mark(db, sealed, waiting)
    return sealed


def _next(db: sa.Connection, now: float, limit: int) -> list[Row]:
    """Pending deliveries in their order; one that waits holds back all later ones of its device (rule 2)."""
    earlier = outbox.alias("earlier")
    held_back = sa.exists().where(
        earlier.c.client == outbox.c.client,
        earlier.c.state == Delivery.PENDING.value,
        earlier.c.not_before > now,
        earlier.c.not_before <= now + WAITS_AT_MOST_S,
        earlier.c.id <= outbox.c.id,
    )
    wanted = (outbox.c.id, outbox.c.client, outbox.c.kind, outbox.c.object, outbox.c.purge, outbox.c.attempts)
    statement = sa.select(*wanted).where(outbox.c.state == Delivery.PENDING.value, ~held_back)
    return list(db.execute(statement.order_by(outbox.c.id).limit(limit)).mappings().all())


def _sound(db: sa.Connection, realm: Realm, rows: list[Row], c2_keys: c2keys.Versions, now: int) -> Iterable[Row]:
    """Those that rest on sound rows alone; the others are refused, loudly."""
    for row in rows:
        try:
            _read(db, realm, [row], c2_keys, now)
        except Tampered as error:
            device = row["client"].hex() if isinstance(row["client"], bytes) else "?"
            log.error("delivery %d to the device %s is refused: %s", row["id"], device, error)
            refused = {"state": Delivery.REFUSED.value, "refusal": error.kind}
            db.execute(sa.update(outbox).where(outbox.c.id == row["id"]).values(**refused))
        else:
            yield row


def _read(db: sa.Connection, realm: Realm, rows: list[Row], c2_keys: c2keys.Versions, now: int) -> _Batch:
    """Raises: Tampered."""
    if not all(map(_is_written, rows)):
        raise strange(outbox)
    clients = {row["id"]: row for row in find_ids(db, realm, client, client.c.id, (r["client"] for r in rows))}
    if any(row["client"] not in clients for row in rows):
        raise strange(outbox)
    topic_ids = [row["object"] for row in rows if row["kind"] == Kind.TOPIC]
    peer_ids = [row["object"] for row in rows if row["kind"] == Kind.PEER]
    topics = find_ids(db, realm, topic, topic.c.id, topic_ids)
    peers = find_ids(db, realm, client, client.c.id, peer_ids)
    return _Batch(
        clients=clients,
        topic_keys={row["id"]: TopicKey(reveal(realm, topic, row, "key")) for row in topics},
        peer_keys={
            row["id"]: bytes(reveal(realm, client, row, "key")) for row in peers if row["status"] == Status.ACTIVE
        },
        memberships=_pairs(db, realm, membership.c.topic, topic_ids, membership.c.client, clients),
        links=_pairs(db, realm, link.c.peer, peer_ids, link.c.holder, clients),
        clocks=clocks.of(db, clients, now),
        c2_keys=c2_keys,
    )


def _is_written(row: Row) -> bool:
    """Whether the C2 can have written it: a delivery carries no MAC."""
    ids = (row["client"], row["object"])
    are_ids = all(isinstance(each, bytes) and len(each) == len(NO_OBJECT) for each in ids)
    return are_ids and row["kind"] in _KINDS and row["attempts"] in _ATTEMPTS


def _seal(realm: Realm, row: Row, batch: _Batch, now: int) -> Sealed | float:
    """The delivery, sealed; or the second for which it must wait."""
    of, kind, target = batch.clients[row["client"]], Kind(row["kind"]), row["object"]
    commands = _commands(realm, kind, target, bool(row["purge"]), of, batch)
    if not commands:
        return Sealed(row["id"], of["id"])
    clock = batch.clocks[of["id"]]
    first = clock.earliest(kind, target, now)
    last = first + len(commands) - 1
    if last > now:
        return float(last)
    clock.use(kind, target, last)
    keys = [channel.command_key for channel in channels(realm, batch.c2_keys, of).values()]
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


def _commands(realm: Realm, kind: Kind, target: bytes, purge: bool, of: Row, batch: _Batch) -> list[Command]:
    """What brings ``target`` at this device to the present; nothing at all for one that is suspended."""
    if of["status"] != Status.ACTIVE:
        return []
    match kind:
        case Kind.TOPIC:
            return _topic(TopicHash(target), purge, of, batch)
        case Kind.PEER:
            return [_peer(target, of, batch)]
        case Kind.RESET_TOPICS:
            return [ResetTopics()]
        case Kind.RESET_PEERS:
            return [ResetPubKeys()]
        case Kind.SYNC:
            return [RemoveTopic(TopicHash(target))]
        case Kind.C2_KEY:
            return [SetC2Key(batch.c2_keys.newest_public)]
        case Kind.ID_KEY:
            return [SetIDKey(reveal(realm, client, of, "pending_private"))] if of["pending_private"] else []


def _topic(target: TopicHash, purge: bool, of: Row, batch: _Batch) -> list[Command]:
    key = batch.topic_keys.get(target)
    if key is None or (target, of["id"]) not in batch.memberships:
        return [RemoveTopic(target)]
    forget: list[Command] = [RemoveTopic(target)] if purge else []
    return [*forget, SetTopicKey(key, target)]


def _peer(target: bytes, of: Row, batch: _Batch) -> Command:
    public = batch.peer_keys.get(target)
    if public is None or (target, of["id"]) not in batch.links:
        return RemovePubKey(ClientId(target))
    return SetPubKey(public, ClientId(target))


def channels(realm: Realm, c2_keys: c2keys.Versions, of: Row) -> dict[tuple[str, int], Channel]:
    """All channels under which a device may be reached while keys change (rule 4): (column of its key, C2 version) -> channel.

    Only one of them opens at the device; the others are noise to it.
    """
    columns = [name for name in ("key", "pending_key") if of[name] is not None]
    known = int(of["c2_key"])
    versions = [known, *(version for version in c2_keys.privates if version > known)]

    def channel(column: str, version: int) -> Channel:
        private = c2_keys.private(version)
        # the record names one key for good: it is sealed under a fresh nonce, and its row was checked
        return realm.channels.get(
            (of["id"], of[column], version),
            lambda: realm.suite.control.at_c2(private, bytes(reveal(realm, client, of, column))),
        )

    return {(column, version): channel(column, version) for column in columns for version in versions}


def _protect(key: AeadKey, command: bytes, second: int) -> bytes:
    header = second.to_bytes(8, "little")
    return header + key.seal(b"", command, header)


def _pairs(
    db: sa.Connection,
    realm: Realm,
    object_column: sa.Column[bytes],
    objects: Collection[bytes],
    client_column: sa.Column[bytes],
    clients: Collection[bytes],
) -> frozenset[tuple[bytes, bytes]]:
    """Which of these objects are granted to which of these clients; every row that says so is checked."""
    if not objects:
        return frozenset()
    wanted = object_column.in_(set(objects))
    rows = find_ids(db, realm, client_column.table, client_column, clients, wanted)
    return frozenset((row[object_column.name], row[client_column.name]) for row in rows)


def _mark(db: sa.Connection, sealed: list[Sealed], waiting: Mapping[bytes, float]) -> None:
    if sealed:
        _mark_sealed(db, sealed)
    if waiting:
        mine = [outbox.c.client == sa.bindparam("of"), outbox.c.state == Delivery.PENDING.value]
        seconds = [{"of": identity, "at": second} for identity, second in waiting.items()]
        db.execute(sa.update(outbox).where(*mine).values(not_before=sa.bindparam("at")), seconds)


def _mark_sealed(db: sa.Connection, sealed: list[Sealed]) -> None:
    db.execute(
        sa.update(outbox)
        .where(outbox.c.id == sa.bindparam("row"))
        .values(
            state=sa.bindparam("to"),
            attempts=outbox.c.attempts + 1,
            second=sa.bindparam("at"),
            tags=sa.bindparam("seals"),
            purge_tags=sa.bindparam("purge_seals"),
        ),
        [
            {
                "row": each.id,
                "to": (Delivery.SENDING if each.payloads else Delivery.SUPERSEDED).value,
                "at": each.second,
                "seals": each.tags,
                "purge_seals": each.purge_tags,
            }
            for each in sealed
        ],
    )
