# SPDX-License-Identifier: Apache-2.0
"""All that can be looked at of a C2 from its machine, whether it runs or not; nothing is changed."""

from __future__ import annotations

import time
from contextlib import closing

import sqlalchemy as sa

from e4c2.app import Clock
from e4c2.recovery import look_broker, look_database, look_machine
from e4c2.recovery.findings import Finding, Level
from e4c2.recovery.offline import existing
from e4c2.settings import Settings
from e4core.errors import E4Error

CHECKS = (*look_machine.LOOKS, "broker", "database", *look_database.LOOKS)


async def examine(settings: Settings, clock: Clock = time.time) -> list[Finding]:
    """Every check of `CHECKS`, in that order."""
    now = clock()
    found = [look(settings, now).of(name) for name, look in look_machine.LOOKS.items()]
    found.append((await look_broker.stranger(settings.broker)).of("broker"))
    try:
        with closing(existing(settings.place)) as store:
            found.append(Finding("database", Level.OK, f"{settings.place}, of this release"))
            found += await store.read(_database, clock)
    except E4Error as error:
        found.append(Finding("database", Level.FAILURE, str(error), "mend the setting database, or start the C2 once"))
        found += [Finding(name, Level.UNKNOWN, "there is no database to look at") for name in look_database.LOOKS]
    return found


def _database(db: sa.Connection, clock: Clock) -> list[Finding]:
    # each has a time of its own, as broker and database may have taken theirs
    return [look(db, clock()).of(name) for name, look in look_database.LOOKS.items()]
