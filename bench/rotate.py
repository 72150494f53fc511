# SPDX-License-Identifier: Apache-2.0
"""A rotation of a topic with 1,000 members, from the request to the broker's last acknowledgement, on SQLite and mosquitto.

Floor: paho publishes as many ready-made messages of that size at the same QoS, before and after each rotation. Left out of ours:
the HTTP request.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path

import paho.mqtt.client as paho
from broker import mosquitto
from carrying import Carrier, enrol, gather, opened
from paho.mqtt.enums import CallbackAPIVersion
from timing import Figures, typical

from e4c2.delivery import COMMAND_QOS

MEMBERS = 1000
TOPIC = "bench"
COMMAND_LEN = 73
REPEAT = 15
IN_FLIGHT = 20


def figures() -> Figures:
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as port:
        return {f"rotate.{MEMBERS}": asyncio.run(_compare(Path(folder), port))}


async def _compare(folder: Path, port: int) -> dict[str, float]:
    with opened("sk", folder / "c2.sqlite", folder / "kek.json") as (store, realm):
        names = [f"device-{number}" for number in range(MEMBERS)]
        enrol(store, realm, names)
        gather(store, realm, TOPIC, names)
        turns = []
        async with Carrier.at_work(store, realm, f"mqtt://127.0.0.1:{port}") as carrier:
            await carrier.settle(MEMBERS)
            for _ in range(REPEAT):
                before = await asyncio.to_thread(_floor, port)
                ours = await carrier.rotate(TOPIC, MEMBERS)
                turns.append((ours, (before + await asyncio.to_thread(_floor, port)) / 2))
                await asyncio.sleep(0.5)
    return typical(turns)


def _floor(port: int) -> float:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(IN_FLIGHT)
    connected, done = threading.Event(), threading.Event()
    acknowledged = 0

    def on_publish(*_: object) -> None:
        nonlocal acknowledged
        acknowledged += 1
        if acknowledged == MEMBERS:
            done.set()

    client.on_connect = lambda *_: connected.set()
    client.on_publish = on_publish
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait()
    messages = [(f"e4/{os.urandom(16).hex()}", os.urandom(COMMAND_LEN)) for _ in range(MEMBERS)]
    begun = time.perf_counter()
    for topic, payload in messages:
        client.publish(topic, payload, COMMAND_QOS)
    done.wait()
    taken = time.perf_counter() - begun
    client.disconnect()
    client.loop_stop()
    return taken
