# SPDX-License-Identifier: Apache-2.0
"""A process that commits a rotation, perhaps seals its commands, and is killed before it publishes any: ``DATA TOPIC HOW_FAR``."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from e4backends.sk import SUITE
from e4c2 import topics
from e4c2.sealing import claim
from tests.interop.served import database


def main(data: str, topic: str, how_far: str) -> None:
    with database(Path(data), SUITE) as (store, realm):
        store.run(topics.rotate, realm, topic)
        if how_far == "sealed":
            store.run(claim, realm)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
