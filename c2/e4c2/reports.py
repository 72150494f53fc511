# SPDX-License-Identifier: Apache-2.0
"""What devices report, and what follows from it: confirmation, key changes completed, catch-up (`format2.md` section 4).

The digest in a report does not show the previous key of a topic. So it proves no command that erases one: only its own ack does.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

import sqlalchemy as sa

from e4c2 import c2keys, clients, commands
from e4c2.commands import WAITS_AT_MOST_S, pause, requeue
from e4c2.model import Delivery, Kind, Status, client, link, membership, outbox, topic
from e4c2.rows import Realm, Row, find, find_all, find_ids, reveal, update
from e4c2.sealing import channels
from e4core import report
from e4core.errors import AuthenticationFailed, Denied, E4Error, InvalidInput, KmsError, Tampered, UnknownKey
from e4core.keys import ClientId, TopicKey
from e4core.report import Ack, Hello, Outcome, Report
from e4core.transport import Incoming

log = logging.getLogger(__name__)

REPORTS = "e4/+/report"
SYNC_EVERY_S = 10
CATCH_UP_EVERY_S = 30
"""At most; of a device that it does not help, twice as long each time."""
MAX_OUTDATED = 10
"""How often a command that came too late is sealed anew before it is given up; each try is a second later, from 5 s ago on."""
_TOPIC = re.compile(r"e4/([0-9a-f]{32})/report")
_TAG_LEN = 16
_DONE = (Outcome.APPLIED, Outcome.ALREADY)
_SHOWN = (Kind.TOPIC.value, Kind.PEER.value, Kind.RESET_PEERS.value, Kind.SYNC.value)
"""What the digest, or the answer itself, shows to be done."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """An authentic report, and under which key it opened."""

    content: Report
    column: str
    c2_version: int
    c2_newest: int


def sender(incoming: Incoming) -> bytes:
    """Id of the client that a report claims to be of. Raises: InvalidInput: it is none, by its topic or its length."""
    name = _TOPIC.fullmatch(incoming.topic)
    if name is None or len(incoming.payload) > report.LONGEST:
        raise InvalidInput("no report", kind="bad_report")
    return bytes.fromhex(name[1])


def receive(db: sa.Connection, realm: Realm, keys: c2keys.Versions, incoming: Incoming) -> None:
    """Take one report; refused ones change nothing and are never answered.

    Raises: InvalidInput. UnknownKey: no such client. Denied: suspended. AuthenticationFailed. Tampered.
    """
    row = find(db, realm, client, client.c.id == sender(incoming))
    if row is None:
        raise UnknownKey("no client has this id")
    if row["status"] != Status.ACTIVE:
        raise Denied("the client is suspended")
    opened = _open(realm, keys, row, incoming.payload)
    row = _learn(db, realm, row, opened)
    if isinstance(opened.content, Hello):
        _sync(db, realm, row, opened.content)
    else:
        _acknowledged(db, realm, row, opened.content, opened)


def receive_all(db: sa.Connection, realm: Realm, batch: list[Incoming]) -> list[E4Error]:
    """Take many in one transaction; what was refused, for the counters. Raises: KmsError: none was taken."""
    realm.keyring.require()
    try:
        keys = c2keys.versions(db, realm)
    except Tampered as error:
        return [error] * len(batch)
    refused: list[E4Error] = []
    for incoming in batch:
        try:
            with db.begin_nested():
                receive(db, realm, keys, incoming)
        except E4Error as error:
            if isinstance(error, KmsError) and not isinstance(error, Tampered):
                raise  # no fault of the report: the token of the C2's own key
            refused.append(error)
    return refused


def expected_digest(db: sa.Connection, realm: Realm, row: Row) -> bytes:
    """State digest of a device that holds exactly what it should."""
    memberships = find_all(db, realm, membership, membership.c.client == row["id"])
    joined = find_ids(db, realm, topic, topic.c.id, (each["topic"] for each in memberships))
    links = find_all(db, realm, link, link.c.holder == row["id"])
    peers = find_ids(db, realm, client, client.c.id, (each["peer"] for each in links))
    suite = realm.suite
    marks = {of["id"]: report.fingerprint(suite, TopicKey(reveal(realm, topic, of, "key"))) for of in joined}
    publics = {of["id"]: bytes(reveal(realm, client, of, "key")) for of in peers if of["status"] == Status.ACTIVE}
    return report.digest(suite, marks, publics)


def _open(realm: Realm, keys: c2keys.Versions, row: Row, data: bytes) -> _Opened:
    for (column, version), channel in channels(realm, keys, row).items():
        try:
            content = report.open_report(realm.suite, channel, ClientId(row["id"]), data)
        except AuthenticationFailed:
            continue
        return _Opened(content, column, version, keys.newest)
    raise AuthenticationFailed


def _learn(db: sa.Connection, realm: Realm, row: Row, opened: _Opened) -> Row:
    """The key under which a report opens is the one that the device uses: what it replaces is over (rule 4)."""
    if opened.column == "pending_key":
        row = clients.adopt_pending_key(db, realm, row, None)
    if opened.c2_version != row["c2_key"]:
        row = update(db, realm, client, row, c2_key=opened.c2_version)
        if opened.c2_version == opened.c2_newest:
            commands.close(db, row["id"], (Kind.C2_KEY,), Delivery.CONFIRMED)
    if not row["reports"]:
        row = update(db, realm, client, row, reports=True)
    return row


def _sync(db: sa.Connection, realm: Realm, row: Row, hello: Hello) -> None:
    """Answer a hello, at most one in 10 s; it may be a replay, so nothing else follows from it."""
    if _last(db, realm, row, Kind.SYNC, outbox.c.created) > realm.clock() - SYNC_EVERY_S:
        return
    commands.close(db, row["id"], (Kind.SYNC,))
    commands.enqueue(db, realm, None, [row["id"]], Kind.SYNC, hello.nonce)


def _acknowledged(db: sa.Connection, realm: Realm, row: Row, ack: Ack, opened: _Opened) -> None:
    """Only the ack of a command that is still unconfirmed is fresh, and says what the device holds now."""
    answered = _answered(db, row, ack)
    if answered is None:
        return
    db.execute(sa.update(client).where(client.c.id == row["id"]).values(last_report=realm.clock()))
    this = outbox.c.id == answered["id"]
    if ack.outcome in _DONE and ack.subject in _split(answered["purge_tags"]):
        db.execute(sa.update(outbox).where(this).values(purge_tags=b""))
        return
    state, refusal = _outcome(answered, ack)
    if state is Delivery.PENDING:
        requeue(db, this)
        return
    db.execute(sa.update(outbox).where(this).values(state=state.value, refusal=refusal))
    if opened.column == "key":
        _requeue_lost_keys(db, row, answered, opened)
    newer = [outbox.c.client == row["id"], outbox.c.state.in_(commands.OPEN), outbox.c.id > answered["id"]]
    if db.scalar(sa.select(outbox.c.id).where(*newer).limit(1)) is None:
        _compare(db, realm, row, ack.digest)


def _requeue_lost_keys(db: sa.Connection, row: Row, answered: Row, opened: _Opened) -> None:
    """A later command was answered under old keys: so the command that was to change them never arrived."""
    kinds = [Kind.ID_KEY.value] if row["pending_key"] is not None else []
    if opened.c2_version < opened.c2_newest:
        kinds.append(Kind.C2_KEY.value)
    if kinds:
        requeue(db, outbox.c.client == row["id"], outbox.c.kind.in_(kinds), outbox.c.id < answered["id"])


def _compare(db: sa.Connection, realm: Realm, row: Row, digest: bytes) -> None:
    """Nothing is under way: what the device holds is what it should hold, or it is brought there."""
    try:
        expected = expected_digest(db, realm, row)
    except Tampered as error:  # a row that this device shares with another: what it confirmed it still has
        log.error("what the client %s holds cannot be judged: %s", row["name"], error)
        return
    if digest == expected:
        realm.astray.pop(row["id"], None)
        mine, erases = outbox.c.client == row["id"], outbox.c.kind == Kind.RESET_TOPICS.value
        requeue(db, mine, sa.or_(erases, sa.func.length(outbox.c.purge_tags) > 0))
        proved = [outbox.c.kind.in_(_SHOWN), outbox.c.state.in_(commands.UNCONFIRMED)]
        db.execute(sa.update(outbox).where(mine, *proved).values(state=Delivery.CONFIRMED.value))
        return
    in_vain = realm.astray.get(row["id"], 0)
    realm.astray[row["id"]] = in_vain + 1
    wait = pause(CATCH_UP_EVERY_S, WAITS_AT_MOST_S, in_vain)
    if in_vain:
        log.warning(
            "%s was caught up %d times in vain; the next time is %.0f s after the last", row["name"], in_vain, wait
        )
    last = max(_last(db, realm, row, Kind.RESET_TOPICS, of) for of in (outbox.c.created, outbox.c.not_before))
    commands.catch_up(db, realm, row, commands.begin(db, realm, "catch_up", row["name"]), last + wait)


def _answered(db: sa.Connection, row: Row, ack: Ack) -> Row | None:
    statement = sa.select(outbox).where(outbox.c.client == row["id"], outbox.c.state.in_(commands.UNCONFIRMED))
    for delivery in db.execute(statement.order_by(outbox.c.id)).mappings():
        if ack.subject in (*_split(delivery["tags"]), *_split(delivery["purge_tags"])):
            return delivery
    return None


def _split(tags: bytes | None) -> list[bytes]:
    held = tags or b""
    return [held[i : i + _TAG_LEN] for i in range(0, len(held), _TAG_LEN)]


def _outcome(delivery: Row, ack: Ack) -> tuple[Delivery, str | None]:
    if ack.outcome in _DONE:
        if delivery["purge_tags"]:  # its first half was never answered: the key of before may still be there
            return Delivery.PENDING, None
        return Delivery.CONFIRMED, None
    if ack.outcome is Outcome.OUTDATED or ack.subject in _split(delivery["purge_tags"]):
        if delivery["attempts"] < MAX_OUTDATED:
            return Delivery.PENDING, None
        return Delivery.REFUSED, ack.refusal or "timestamp_old"
    if ack.refusal == "pubkey_missing":  # it was to be removed, and is not there
        return Delivery.CONFIRMED, None
    return Delivery.REFUSED, ack.refusal


def _last(db: sa.Connection, realm: Realm, row: Row, kind: Kind, time: sa.Column[float]) -> float:
    """The latest ``time`` of the deliveries of this kind; one that seems to lie in the future does not count."""
    where = [outbox.c.client == row["id"], outbox.c.kind == kind.value, time <= realm.clock()]
    return db.scalar(sa.select(sa.func.max(time)).where(*where)) or float("-inf")
