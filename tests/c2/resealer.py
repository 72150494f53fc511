# SPDX-License-Identifier: Apache-2.0
"""Processes that rotate the keys of a database again and again, until somebody kills them; run by `test_resealing_kill`.

Each is a fork of one that has imported everything, made for each line of its standard input, and tells its id first.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from e4c2 import deks, resealing
from e4c2.locksmith import Locksmith
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.errors import Conflict
from e4core.plugins import load_suite
from e4kms import file as kek_file
from e4kms.deks import Purpose, State
from e4kms.keyring import UNLIMITED


async def rotate_for_ever(database: Path, kek: str) -> None:
    store, kmses = Store(database), {kek: kek_file.open_kms(kek)}
    realm = store.run(open_realm, load_suite("sk"), kmses, time.time)
    database_id = store.run(lambda db: db.execute(sa.text("SELECT database_id FROM realm")).scalar_one())
    smith = Locksmith(store, realm, database_id, kmses, UNLIMITED)
    working = asyncio.create_task(smith.run())
    print("ready", flush=True)
    while not working.done():
        behind = await store.read(resealing.behind, realm)
        if not behind[Purpose.RECORDS] + behind[Purpose.AUTHORITY]:
            for dek in await store.read(deks.load):
                if dek.state is State.ACTIVE and dek.purpose in (Purpose.RECORDS, Purpose.AUTHORITY):
                    with suppress(Conflict):  # what was prepared before was taken up meanwhile
                        await smith.rotate(dek.purpose, dek.version)
                        print(dek.version, flush=True)
        await asyncio.sleep(0.01)
    working.result()


def main(database: Path, kek: str) -> None:
    for _ in sys.stdin:
        if child := os.fork():
            os.waitpid(child, 0)
            print("ended", flush=True)
        else:
            print(os.getpid(), flush=True)
            asyncio.run(rotate_for_ever(database, kek))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
