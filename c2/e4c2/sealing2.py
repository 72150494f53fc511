# SPDX-License-Identifier: Apache-2.0
"""Format 2: from all that a device is still to be brought to, to one command (`format2.md` section 3).

A command takes the place of every earlier one that is not confirmed, and contains what they were to do: so a device that was away
gets one, with the present in it. Whatever is sealed gets a sequence of its own, so what a sequence means never changes. What
does not fit in a command follows when the device has answered it.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import sqlalchemy as sa

from e4c2 import c2keys, epochs, graces, present, replicas, sequences
from e4c2.columns import among, portions
from e4c2.commands import BATCH, NO_OBJECT, UNCONFIRMED, WAITS_AT_MOST_S
from e4c2.epochs import Epoch
from e4c2.format import Sealed
from e4c2.lanes import lanes, walk
from e4c2.model import Delivery, Kind, Status, client, outbox
from e4c2.present import Present
from e4c2.rows import Realm, Row, plain, reveal, strange
from e4c2.setwise import Setwise
from e4core import control2
from e4core.command2 import (
    ISSUED_LEN,
    Command2,
    NewIDKey,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    SetTopicKey,
    Sync,
    encode,
)
from e4core.keys import ClientId, FullTopicHash, control_topic
from e4core.report import SALT_LEN

DELIVERIES_MOST = 5000
"""In the commands of one transaction, unless those of one device alone are more."""
_FAR = 1 << 40
"""A Unix second that does not come: what is held for later ends nothing."""
_ORDER = (
    Kind.RESET_TOPICS,
    Kind.TOPIC,
    Kind.NEXT,
    Kind.RESET_PEERS,
    Kind.PEER,
    Kind.C2_KEY,
    Kind.ID_KEY,
    Kind.SYNC,
    Kind.SWITCH,
)
"""Of the entries in a command: what empties comes before what fills."""
_PLACE = {kind.value: place for place, kind in enumerate(_ORDER)}


@dataclass(frozen=True, slots=True)
class _Here:
    """What the commands of one transaction need, and when that is."""

    realm: Realm
    present: Present
    epochs: Mapping[bytes, Epoch]
    sequences: Mapping[bytes, Row]
    ends: Mapping[int, int]
    """`graces.ends`"""
    now: float


@dataclass(slots=True)
class _Draft:
    """A command to one device, and the deliveries it carries."""

    of: Row
    entries: bytearray = field(default_factory=bytearray)
    """Encoded."""
    carried: list[_Entry] = field(default_factory=list)
    idle: list[_Entry] = field(default_factory=list)
    """For which there is nothing to do any more."""
    left: list[_Entry] = field(default_factory=list)
    """For which there is no room."""


@dataclass(slots=True)
class _Entry:
    """All deliveries to one device that name the same: the newest stands for them, and inherits their purge."""

    newest: Row
    purge: bool
    older: list[int] = field(default_factory=list)


def claim(db: sa.Connection, realm: Realm, limit: int = BATCH) -> list[Sealed]:
    """Seal one command for each device that has something pending, for at most ``limit`` devices up to `BATCH`.

    Raises: Tampered: a key of the C2 itself. KmsUnavailable: the database's keys are held no longer.
    """
    realm.keyring.require()
    now = realm.clock()
    busy = replicas.busy(db, realm)
    due = [] if busy is None else _due(db, now, min(limit, BATCH), busy)
    if not due:
        return []
    rows = _open(db, due, now)
    c2_keys = c2keys.versions(db, realm)

    def read(some: Collection[Row]) -> _Here:
        topics = {row["object"] for row in some if row["kind"] in (Kind.TOPIC, Kind.NEXT)}
        held = sequences.held(db, realm, {row["client"] for row in some})
        found = present.read(db, realm, some, c2_keys)
        return _Here(realm, found, epochs.of(db, realm, topics), held, graces.ends(db, realm, some, found.topics), now)

    sound, here = present.read_sound(db, rows, read)
    drafts = _drafts(here, sound)
    taken = sequences.take(db, realm, here.sequences, [of for of, draft in drafts.items() if draft.entries])
    sealed = [_seal(here, draft, taken[of]) if draft.entries else _nothing(draft) for of, draft in drafts.items()]
    _mark(db, realm, drafts, taken, int(now))
    return sealed


_NOW = sa.bindparam("now", type_=sa.Float)
_TIMELY = sa.or_(outbox.c.not_before <= _NOW, outbox.c.not_before > _NOW + WAITS_AT_MOST_S)
_DUE = sa.and_(outbox.c.state == Delivery.PENDING.value, _TIMELY)
_UNDONE = sa.or_(_DUE, outbox.c.state.in_(UNCONFIRMED))
_NEXT = sa.select(outbox.c.id, outbox.c.client).where(_DUE, outbox.c.id > sa.bindparam("last")).order_by(outbox.c.id)


def _due(db: sa.Connection, now: float, limit: int, busy: Collection[bytes]) -> list[bytes]:
    """Devices that something is pending for, in the order of what is, lane by lane; none of those that are ``busy``."""
    found: dict[bytes, None] = {}
    for lane in lanes(db, now, limit):
        for row in walk(db, _NEXT.where(*lane), busy, now=now):
            of = row.client
            if not isinstance(of, bytes):
                present.refuse(db, row.id, of, strange(outbox))
                continue
            if len(found) == limit and of not in found:
                break
            found[of] = None
    return list(found)


def _open(db: sa.Connection, clients: Sequence[bytes], now: float) -> list[Row]:
    """All that is not yet done, save what is to wait, at the first of these devices: at all, where there is not too much."""
    these = among(db, outbox.c.client, clients)
    counts = sa.select(outbox.c.client, sa.func.count()).where(these, _UNDONE).group_by(outbox.c.client)
    number = {of: int(count) for of, count in db.execute(counts, {"now": now})}
    upto = list(accumulate(number[of] for of in clients))
    first = clients[: max(1, bisect_right(upto, DELIVERIES_MOST))]
    wanted = (outbox.c.id, outbox.c.client, outbox.c.kind, outbox.c.object, outbox.c.purge, outbox.c.attempts)
    mine = sa.select(*wanted).where(among(db, outbox.c.client, first), _UNDONE).order_by(outbox.c.id)
    return plain(db.execute(mine, {"now": now}).all())


def _drafts(here: _Here, rows: Collection[Row]) -> dict[bytes, _Draft]:
    grouped: dict[bytes, dict[tuple[str, bytes], _Entry]] = {}
    for row in rows:
        mine = grouped.setdefault(row["client"], {})
        held = mine.get((row["kind"], row["object"]))
        if held is None:
            mine[row["kind"], row["object"]] = _Entry(row, bool(row["purge"]))
        else:
            held.older.append(held.newest["id"])
            held.newest, held.purge = row, held.purge or bool(row["purge"])
    return {of: _draft(here, here.present.clients[of], list(entries.values())) for of, entries in grouped.items()}


def _draft(here: _Here, of: Row, entries: list[_Entry]) -> _Draft:
    suite, draft = here.realm.suite, _Draft(of)
    room = control2.room(suite) - ISSUED_LEN
    for entry in sorted(entries, key=lambda each: (_PLACE[each.newest["kind"]], each.newest["id"])):
        made = list(_commands(here, of, entry)) if of["status"] == Status.ACTIVE else []
        encoded = encode(made, 0)[ISSUED_LEN:]
        room -= len(encoded)
        if room < 0 and draft.entries:
            draft.left.append(entry)
            continue
        draft.entries += encoded
        (draft.carried if made else draft.idle).append(entry)
    return draft


def _commands(here: _Here, of: Row, entry: _Entry) -> Iterator[Command2]:
    """What brings the object of a delivery to the present at this device."""
    target = entry.newest["object"]
    until = 0 if entry.purge else here.ends.get(entry.newest["id"], 0)
    match Kind(entry.newest["kind"]):
        case Kind.TOPIC:
            yield from _topic(here, of, target, until)
        case Kind.NEXT:
            yield from _next(here, of, target)
        case Kind.PEER:
            public = here.present.peer_key(target, of)
            peer = ClientId(target)
            yield RemovePubKey(peer) if public is None else SetPubKey(peer, public, until)
        case Kind.RESET_TOPICS:
            yield ResetTopics()
        case Kind.RESET_PEERS:
            yield ResetPubKeys()
        case Kind.C2_KEY:
            if of["c2_key"] < here.present.c2_keys.newest:
                yield SetC2Key.of(here.realm.suite, here.present.c2_keys.newest_public)
        case Kind.ID_KEY:
            yield from _id_key(here, of)
        case Kind.SYNC:
            yield _sync(here, target)
        case Kind.SWITCH:
            yield _sync(here, NO_OBJECT)


def _topic(here: _Here, of: Row, target: bytes, until: int) -> Iterator[Command2]:
    epoch = here.epochs.get(target)
    if epoch is None:  # nobody ever had a key of it
        return
    key = here.present.topic_key(target, of)
    if key is None:
        yield RemoveTopic(FullTopicHash(epoch.hash))
        return
    if epoch.has_leftover:
        yield RemoveTopic(FullTopicHash(epoch.hash))
    yield SetTopicKey(FullTopicHash(epoch.hash), epoch.number, key, older_until=until)


def _next(here: _Here, of: Row, target: bytes) -> Iterator[Command2]:
    """To be held beside the epoch in use, which it does not end."""
    epoch = here.epochs.get(target)
    if epoch is not None and epoch.next is not None and here.present.topic_key(target, of) is not None:
        yield SetTopicKey(FullTopicHash(epoch.hash), *epoch.next, use=0, older_until=_FAR)


def _id_key(here: _Here, of: Row) -> Iterator[Command2]:
    """A new key in symmetric suites; else the wish for one, and once it is offered anything that opens under it."""
    if of["pending_private"] is None:
        return
    change = reveal(here.realm, client, of, "pending_private")
    if here.realm.suite.is_symmetric:
        yield SetIDKey(change)
    elif of["pending_key"] is None:
        yield NewIDKey(bytes(change))
    else:
        yield _sync(here, NO_OBJECT)


def _sync(here: _Here, nonce: bytes) -> Sync:
    """Without the nonce of a hello it does nothing."""
    return Sync(nonce, int(here.now * 1000))


def _seal(here: _Here, draft: _Draft, sequence: int) -> Sealed:
    realm, of = here.realm, draft.of
    identity = ClientId(of["id"])
    plain = encode([], int(here.now)) + draft.entries
    ways = [present.channel(realm, here.present.c2_keys, of, column, of["c2_key"]) for column in _columns(realm, of)]
    payloads = [
        control2.seal_command(realm.suite, way, identity, sequence, plain, os.urandom(SALT_LEN)) for way in ways
    ]
    first, *others = [(each.newest["id"], each.newest["attempts"] + 1) for each in draft.carried]
    return Sealed(
        id=first[0],
        client=of["id"],
        topic=control_topic(identity),
        payloads=tuple(payloads),
        second=int(here.now),
        attempt=first[1],
        others=tuple(others),
    )


def _columns(realm: Realm, of: Row) -> tuple[str, ...]:
    """Under which keys a device can open a command.

    A key that the C2 has sent is taken into use by a device as soon as it can be, and the old one stays until then. One that the
    device has made is first, for the device is to switch to it; should it have lost that, it still opens the other.
    """
    if realm.suite.is_symmetric or of["pending_key"] is None:
        return ("key",)
    return ("pending_key", "key")


def _nothing(draft: _Draft) -> Sealed:
    return Sealed(draft.idle[0].newest["id"], draft.of["id"])


def _mark(
    db: sa.Connection, realm: Realm, drafts: Mapping[bytes, _Draft], taken: Mapping[bytes, int], second: int
) -> None:
    over = [row for draft in drafts.values() for each in (*draft.carried, *draft.idle) for row in each.older]
    over += [each.newest["id"] for draft in drafts.values() for each in draft.idle]
    for portion in portions(over):
        db.execute(sa.update(outbox).where(among(db, outbox.c.id, portion)).values(state=Delivery.SUPERSEDED.value))
    _LEFT(
        db,
        [
            {"row": each.newest["id"], "not_before": second + WAITS_AT_MOST_S, "sequence": taken[of]}
            for of, draft in drafts.items()
            for each in draft.left
        ],
    )
    _SENDING(
        db,
        [
            {
                "row": each.newest["id"],
                "second": second,
                "purge": each.purge,
                "sequence": taken[of],
                "holder": realm.replica,
            }
            for of, draft in drafts.items()
            for each in draft.carried
        ],
    )


def _marking(state: Delivery, *names: str, **others: Any) -> Setwise:
    """The delivery ``row`` is in this state now, with these values."""
    types = {"row": outbox.c.id.type, **{name: outbox.c[name].type for name in names}}
    this = sa.update(outbox).values(state=state.value, **others)
    return Setwise(types, lambda to: this.where(outbox.c.id == to["row"]).values({name: to[name] for name in names}))


_LEFT = _marking(Delivery.PENDING, "not_before", "sequence")
"""They wait until the device has answered the command of that sequence (`acks2`)."""
_SENDING = _marking(Delivery.SENDING, "second", "purge", "sequence", "holder", attempts=outbox.c.attempts + 1)
