# SPDX-License-Identifier: Apache-2.0
"""A rotation of a topic with 10,000 members on PostgreSQL and mosquitto, to the broker's last acknowledgement.

Floor: as many ready-made messages of that size by the fastest publisher there is in Python (`bare_mqtt`), at the same QoS, before
and after each rotation. QoS 2 with a suite of Format 1; QoS 1 with one of Format 2, whose devices report; those reports are taken
as having come, as who measures them measures the devices. Left out of ours: the HTTP request, which `c2_api` has.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from bare_mqtt import publish
from broker import mosquitto
from carrying import Carrier, enrol, gather, opened
from timing import Figures, typical

from tests.databases import DatabaseServer

MEMBERS = 10_000
TOPIC = "bench"
REPEAT = 5
KINDS = {"qos2": ("sk", 2, 73), "qos1": ("fips-sk", 1, 113)}
"""Figure -> suite, QoS, bytes of a command."""


def figures(server: DatabaseServer, folder: Path) -> Figures:
    with mosquitto(folder) as port:
        return {
            f"rotate.{MEMBERS}.{kind}": asyncio.run(_compare(server, folder, port, *how)) for kind, how in KINDS.items()
        }


async def _compare(
    server: DatabaseServer, folder: Path, port: int, suite: str, qos: int, length: int
) -> dict[str, float]:
    with opened(suite, server.make(), folder / f"{suite}.kek") as (store, realm):
        names = [f"device-{number}" for number in range(MEMBERS)]
        enrol(store, realm, names)
        gather(store, realm, TOPIC, names)
        turns = []
        async with Carrier.at_work(store, realm, f"mqtt://127.0.0.1:{port}?qos={qos}") as carrier:
            await carrier.settle(MEMBERS)
            for _ in range(REPEAT):
                await carrier.confirm()
                before = await _floor(port, length, qos)
                ours = await carrier.rotate(TOPIC, MEMBERS)
                turns.append((ours, (before + await _floor(port, length, qos)) / 2))
    return typical(turns)


async def _floor(port: int, length: int, qos: int) -> float:
    messages = [(f"e4/{os.urandom(16).hex()}", os.urandom(length)) for _ in range(MEMBERS)]
    return await asyncio.to_thread(lambda: asyncio.run(publish(port, messages, qos)))
