# SPDX-License-Identifier: Apache-2.0
"""What devices report: who may, what the key shows under which a report opens, and whether a device holds what it should.

The rest depends on the format: `e4c2.acks`, `e4c2.acks2` (`format2.md` section 4).
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict, deque
from itertools import chain

import sqlalchemy as sa

from e4c2 import c2keys, catching_up, clients, commands, dead_letters, digests, plain_reports
from e4c2.format import Opened
from e4c2.model import Delivery, Kind, Status, client, outbox
from e4c2.present import channels
from e4c2.recovery import restored
from e4c2.rows import Realm, Row, find_by, update
from e4core import report
from e4core.errors import AuthenticationFailed, Denied, E4Error, InvalidInput, KmsError, Tampered, UnknownKey
from e4core.keys import ClientId
from e4core.report import Hello, Report
from e4core.suite import Suite
from e4core.transport import Incoming

log = logging.getLogger(__name__)

REPORTS = "e4/+/report"
SYNC_EVERY_S = 10
_TOPIC = re.compile(r"e4/([0-9a-f]{32})/report")
_UNNUMBERED = 0
_ADDED = sa.insert(outbox)


def sender(suite: Suite, incoming: Incoming) -> bytes:
    """Id of the client that a report claims to be of; no key is used, and no database.

    Raises: InvalidInput: it is none, by its topic (``bad_report``), length or header (``bad_length``, ``bad_version``).
    """
    name = _TOPIC.fullmatch(incoming.topic)
    if name is None:
        raise InvalidInput("this is no topic of reports", kind="bad_report")
    report.check(suite, incoming.payload)
    return bytes.fromhex(name[1])


def senders(db: sa.Connection) -> frozenset[bytes]:
    """Ids of all who may report, and of those who are suspended; read from an index alone, as there may be very many."""
    return frozenset(db.scalars(sa.select(client.c.id)))


def receive(db: sa.Connection, realm: Realm, keys: c2keys.Versions, incoming: Incoming) -> None:
    """Take one report; refused ones change nothing and are never answered.

    Raises: InvalidInput. UnknownKey: no such client. Denied: suspended. AuthenticationFailed. NotFresh. Tampered.
    """
    row = find_by(db, realm, client, client.c.id, sender(realm.suite, incoming))
    if row is None:
        raise UnknownKey("no client has this id")
    if row["status"] != Status.ACTIVE:
        raise Denied("the client is suspended")
    opened = _open(realm, keys, row, incoming.payload)
    realm.format.answer(db, realm, _learn(db, realm, row, opened), opened)


def receive_all(db: sa.Connection, realm: Realm, batch: list[Incoming]) -> list[E4Error]:
    """Take many in one transaction; what was refused, for the counters. Raises: KmsError: none was taken."""
    realm.keyring.require()
    try:
        restored.refuse(db, realm)
        keys = c2keys.versions(db, realm)
    except (Tampered, Denied) as error:
        return [error] * len(batch)
    refused: list[E4Error] = []
    for incoming in _not_plain(db, realm, keys, batch):
        try:
            with db.begin_nested():
                receive(db, realm, keys, incoming)
        except E4Error as error:
            if isinstance(error, KmsError) and not isinstance(error, Tampered):
                raise  # no fault of the report: the token of the C2's own key
            refused.append(error)
    return refused


def sync(db: sa.Connection, realm: Realm, row: Row, hello: Hello, every_s: float = SYNC_EVERY_S) -> bool:
    """Answer a hello, unless one was less than ``every_s`` ago; it may be a replay, so nothing else is taken to be so by it.

    False: not answered.
    """
    if _last_sync(db, realm, row) > realm.clock() - every_s:
        return False
    dead_letters.revive(db, realm, outbox.c.client == row["id"])
    commands.close(db, [row["id"]], (Kind.SYNC,))
    # what `commands.enqueue` does besides is of no use here, and costs three times as much: a whole fleet may say hello at once
    kept = {"client": row["id"], "kind": Kind.SYNC.value, "object": hello.nonce, "created": realm.clock()}
    waits = {"state": Delivery.PENDING.value, "purge": False, "not_before": 0.0, "attempts": 0}
    db.execute(_ADDED, {**kept, **waits})
    return True


def holds(db: sa.Connection, realm: Realm, row: Row, digest: bytes) -> bool | None:
    """Whether a device under way to which is nothing holds what it should; if not, it is brought there. None: who knows."""
    try:
        expected = digests.expected(db, realm, [row["id"]])[row["id"]]
    except Tampered as error:  # a row that this device shares with another: what it confirmed it still has
        log.error("what the client %s holds cannot be judged: %s", row["name"], error)
        return None
    if digest == expected:
        realm.astray.pop(row["id"], None)
        return True
    catching_up.again(db, realm, row)
    return False


def _last_sync(db: sa.Connection, realm: Realm, row: Row) -> float:
    """When a hello was answered last, 0: never; one that seems to lie in the future does not count."""
    where = [outbox.c.client == row["id"], outbox.c.kind == Kind.SYNC.value, outbox.c.created <= realm.clock()]
    return db.scalar(sa.select(sa.func.max(outbox.c.created)).where(*where)) or 0.0


def _not_plain(db: sa.Connection, realm: Realm, keys: c2keys.Versions, batch: list[Incoming]) -> list[Incoming]:
    """Those that each want a look of their own, and all that the same devices reported after them."""
    waiting: dict[bytes, deque[Incoming]] = defaultdict(deque)
    nobodys: list[Incoming] = []
    for incoming in batch:
        of = _sender(realm.suite, incoming)
        (nobodys if of is None else waiting[of]).append(incoming)
    plain_so_far = set(waiting)
    while plain_so_far:
        firsts = {of: waiting[of][0].payload for of in plain_so_far}
        taken = plain_reports.take(db, realm, keys, firsts)
        for of in taken:
            waiting[of].popleft()
        plain_so_far = {of for of in taken if waiting[of]}
    return [*nobodys, *chain.from_iterable(waiting.values())]


def _sender(suite: Suite, incoming: Incoming) -> bytes | None:
    try:
        return sender(suite, incoming)
    except InvalidInput:
        return None


def _open(realm: Realm, keys: c2keys.Versions, row: Row, data: bytes) -> Opened:
    for (column, version), channel in channels(realm, keys, row).items():
        try:
            content: Report = report.open_report(realm.suite, channel, ClientId(row["id"]), data)
        except AuthenticationFailed:
            continue
        news = column == "pending_key" or version != row["c2_key"]
        return Opened(content, column, version, keys.newest, news)
    raise AuthenticationFailed


def _learn(db: sa.Connection, realm: Realm, row: Row, opened: Opened) -> Row:
    """The key under which a report opens is the one that the device uses: what it replaces is over (rule 4)."""
    if opened.column == "pending_key":
        row = clients.adopt_pending_key(db, realm, row, None)
    if opened.c2_version != row["c2_key"]:
        row = update(db, realm, client, row, c2_key=opened.c2_version)
        if opened.c2_version == opened.c2_newest:
            commands.close(db, [row["id"]], (Kind.C2_KEY,), Delivery.CONFIRMED)
    if not row["reports"]:
        row = update(db, realm, client, row, reports=True)
    return row
