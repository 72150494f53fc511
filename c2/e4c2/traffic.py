# SPDX-License-Identifier: Apache-2.0
"""The C2 as a member of a topic: it protects and unprotects as a device does, by the very code of one.

It holds the key of now alone, and takes what is at most ten minutes old. In suites with signatures it believes the active members
of the topic; it signs for nobody there, as no private key of a device ever comes to it. What was unprotected is remembered in the
database, without the payload: all C2 processes on it give each message once, also after a restart. Who can write there can make
them forget it.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import sqlalchemy as sa
from pydantic import WithJsonSchema

from e4c2 import epochs, present, topics
from e4c2.format import Holding
from e4c2.model import client, membership, topic, unprotected
from e4c2.recovery import restored
from e4c2.rows import Realm, Row, find, find_by, reveal
from e4core.errors import InvalidInput, Replayed, UnsupportedSuite
from e4core.formats import AnyClient, new_client, new_state
from e4core.keys import ClientId, Secret, TopicKey
from e4core.message import WINDOW_S
from e4kms.records import canonical

OWN_NAME = "e4/c2"
"""Of the client that the C2 says it is; in Format 2 its id stands in each message."""
KEPT_S = WINDOW_S + 3600
"""After it was sent a message is remembered for so long, seconds: a clock that is set back by an hour lets none come again."""

Base64 = Annotated[str, WithJsonSchema({"type": "string", "format": "byte"})]


@dataclass(frozen=True, slots=True)
class Protected:
    """What is to be published on the topic."""

    message: Base64


@dataclass(frozen=True, slots=True)
class Unprotected:
    """``sender``: id of a client, None where the message does not say; ``epoch`` and ``sequence`` are 0 in Format 1."""

    payload: Base64 = field(repr=False)
    sender: str | None
    authenticated: bool
    epoch: int
    timestamp: int
    sequence: int


def protect(db: sa.Connection, realm: Realm, name: str, payload: bytes) -> Protected:
    """Protect ``payload`` for the members of a topic.

    Raises: UnsupportedSuite: messages are signed. NotFound. InvalidInput (``too_short``): empty, in Format 1. RateExceeded: equal
    payloads too fast. Denied (``paused``). Tampered.
    """
    if not realm.suite.is_symmetric:
        raise UnsupportedSuite(
            f"in the suite {realm.suite.name} senders sign their messages, which the C2 does for nobody; protect them in a device"
        )
    if len(payload) < realm.format.messages.payload_min:
        raise InvalidInput("devices accept no empty payload in this suite", kind="too_short")
    row = _open(db, realm, name)
    # one for as long as the key is the same: it knows what it has sent in this second, or counts what it sends
    member = realm.members.get((row["id"], row["mac"]), lambda: _member(db, realm, row, {}))
    return Protected(_text(member.protect(bytes(payload), name, realm.clock())))


def unprotect(db: sa.Connection, realm: Realm, name: str, message: bytes) -> Unprotected:
    """Check, open and remember one message of a topic.

    Raises: NotFound. Denied (``paused``). Tampered; and as of `Client.unprotect` or `Client2.unprotect`: then nothing was changed.
    """
    row, data = _open(db, realm, name), bytes(message)
    opened = _member(db, realm, row, _believed(db, realm, row, data)).unprotect(data, name, realm.clock())
    _remember(db, realm, row["id"], data, opened.timestamp)
    sender = opened.sender.hex() if opened.sender else None
    return Unprotected(
        _text(opened.payload), sender, opened.authenticated, opened.epoch, opened.timestamp, opened.sequence
    )


def _open(db: sa.Connection, realm: Realm, name: str) -> Row:
    restored.refuse(db, realm)
    return topics.require(db, realm, name)


def _member(db: sa.Connection, realm: Realm, row: Row, peers: Mapping[ClientId, bytes]) -> AnyClient:
    """A client that holds the key of this topic and these public keys, and nothing else."""
    suite, epoch = realm.suite, epochs.of(db, realm, [row["id"]]).get(row["id"])
    key = TopicKey(reveal(realm, topic, row, "key"))
    holding = Holding(row["name"], key, epoch.number if epoch else 0, peers)
    # it has no way to a C2: these keys are made for it alone, and nobody else knows them
    c2_public = suite.c2.public(suite.c2.load(suite.c2.generate())) if suite.c2.public_len else b""
    state = new_state(suite, ClientId(suite.derive_id(OWN_NAME)), Secret(suite.device.generate()), c2_public)
    return new_client(suite, realm.format.messages.member(suite, state, holding, realm.clock()), _saved_nowhere)


def _believed(db: sa.Connection, realm: Realm, row: Row, data: bytes) -> dict[ClientId, bytes]:
    """The public key of the sender, if it is an active member."""
    sender = realm.format.messages.sender(realm.suite, data)
    of = find_by(db, realm, client, client.c.id, sender)
    joined = find(db, realm, membership, membership.c.topic == row["id"], membership.c.client == sender)
    known = present.believed(realm, [of]) if of and joined else {}
    return {ClientId(each): public for each, public in known.items()}


def _remember(db: sa.Connection, realm: Realm, topic_id: bytes, data: bytes, sent: int) -> None:
    """Raises: Replayed: it was unprotected before."""
    db.execute(sa.delete(unprotected).where(unprotected.c.sent < realm.clock() - KEPT_S))
    known_by = canonical(b"e4 unprotected v1", topic_id, realm.format.messages.known_by(realm.suite, data))
    try:
        with db.begin_nested():
            db.execute(sa.insert(unprotected).values(message=hashlib.sha256(known_by).digest(), sent=float(sent)))
    except sa.exc.IntegrityError:
        raise Replayed("this message was unprotected before; each is given once") from None


def _saved_nowhere(_state: object) -> None:
    """What must survive is in the database."""


def _text(data: bytes) -> str:
    return b64encode(data).decode()
