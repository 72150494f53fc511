# SPDX-License-Identifier: Apache-2.0
"""What becomes due by itself: re-keys that were put off, plans whose quorum or deadline has come; and what is at its end: topics
that have converged, operations that are over.

All of it is in the database, and done in a transaction that writes: of many processes on one database one does it, and what a crash
interrupts the next one does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import sqlalchemy as sa

from e4c2 import changes, commands, departures, endings, plans, rotation
from e4c2.audit import chain
from e4c2.audit.records import OWN
from e4c2.model import topic
from e4c2.rows import Realm, find_ids
from e4c2.store.engine import Store
from e4core.errors import E4Error, KmsUnavailable, StorageError

log = logging.getLogger(__name__)

EVERY_S = 1.0
PRUNE_EVERY_S = 3600
PUT_OFF_S = 60
"""What cannot be done is tried again after this."""


async def run(store: Store, realm: Realm, wake: Callable[[], None]) -> None:
    """Work until cancelled. Args: wake: called when there are commands to send."""
    pruned = float("-inf")
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(EVERY_S)
        with suppress(KmsUnavailable, StorageError):  # the locksmith and the health of the database say so
            if loop.time() > pruned + PRUNE_EVERY_S:
                await store.write(prune, realm)
                pruned = loop.time()
            if realm.keyring.seconds_left and await store.read(is_due, realm):
                await store.write(drive, realm)
                wake()


def is_due(db: sa.Connection, realm: Realm) -> bool:
    """Whether `drive` has something to do."""
    if departures.due(db, realm) or plans.due(db, realm):
        return True
    return changes.is_due(db, realm) or endings.is_due(db, realm)


def drive(db: sa.Connection, realm: Realm) -> None:
    """Do all that is due. Raises: KmsUnavailable: nothing was done."""
    realm.keyring.require()
    for of in departures.due(db, realm):
        if not _done(db, "a topic that somebody was evicted from", _rekey, realm, of):
            departures.put_off(db, of, realm.clock() + PUT_OFF_S)
    for plan in plans.due(db, realm):
        if not _done(db, "a planned rotation", plans.drive, realm, plan):
            plans.put_off(db, plan, PUT_OFF_S)
    plans.finish(db, realm, changes.look(db, realm))
    endings.look(db, realm)


def prune(db: sa.Connection, realm: Realm) -> None:
    """Keep nothing for ever that is of no use any more."""
    changes.prune(db, realm)
    plans.prune(db, realm)


def _done(
    db: sa.Connection, what: str, act: Callable[[sa.Connection, Realm, bytes], None], realm: Realm, of: bytes
) -> bool:
    """Of one thing alone: that another could not be done, as its row was tampered with, keeps nobody else waiting."""
    try:
        with db.begin_nested():
            act(db, realm, of)
    except (KmsUnavailable, StorageError):
        raise
    except E4Error as error:
        log.error("%s could not go on: %s", what, error)
        return False
    return True


def _rekey(db: sa.Connection, realm: Realm, of: bytes) -> None:
    for row in find_ids(db, realm, topic, topic.c.id, [of]):
        rotation.rekey(db, realm, [row], commands.begin(db, realm, "rekey", row["name"]), purge=True)
    departures.take(db, [of])
    chain.append(db, realm, OWN.step("topic_rekeyed", f"topic:{of.hex()}"))
