# SPDX-License-Identifier: Apache-2.0
"""What devices should hold, as the digest that each reports of what it does hold (`format2.md` section 4)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import sqlalchemy as sa

from e4c2 import epochs
from e4c2.epochs import Epoch, Next
from e4c2.model import client, link, membership, topic
from e4c2.present import believed
from e4c2.rows import Realm, Row, find_ids, reveal
from e4core import report
from e4core.keys import TopicKey
from e4core.report import Held

_UNNUMBERED = 0


def expected(db: sa.Connection, realm: Realm, devices: Collection[bytes]) -> dict[bytes, bytes]:
    """Client -> state digest, 16 bytes, of a device that holds exactly what it should; by a handful of statements.

    Raises: Tampered.
    """
    joined = find_ids(db, realm, membership, membership.c.client, devices)
    topics = _topics(db, realm, {each["topic"] for each in joined})
    links = [] if realm.suite.signature is None else find_ids(db, realm, link, link.c.holder, devices)
    publics = believed(realm, find_ids(db, realm, client, client.c.id, {each["peer"] for each in links}))
    held: dict[bytes, dict[bytes, Held]] = defaultdict(dict)
    for each in joined:
        held[each["client"]].update([topics[each["topic"]]])
    peers: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
    for each in links:
        if each["peer"] in publics:
            peers[each["holder"]][each["peer"]] = publics[each["peer"]]
    return {of: report.digest2(realm.suite, held[of], peers[of]) for of in devices}


def _topics(db: sa.Connection, realm: Realm, ids: Collection[bytes]) -> dict[bytes, tuple[bytes, Held]]:
    """Topic -> what stands for it on the wire, and how it is held."""
    rows = find_ids(db, realm, topic, topic.c.id, ids)
    numbered = epochs.of(db, realm, ids)
    return {row["id"]: _held(realm, row, numbered.get(row["id"], Epoch(row["id"], _UNNUMBERED))) for row in rows}


def _held(realm: Realm, row: Row, epoch: Epoch) -> tuple[bytes, Held]:
    newest = epoch.next or Next(epoch.number, TopicKey(reveal(realm, topic, row, "key")))
    return epoch.hash, Held(epoch.number, newest.number, report.fingerprint(realm.suite, newest.key))
