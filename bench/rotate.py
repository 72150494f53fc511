# SPDX-License-Identifier: Apache-2.0
"""A rotation of a topic with 1,000 members, from the request to the broker's last acknowledgement, on SQLite and mosquitto.

Floor: paho publishes as many ready-made messages of that size at the same QoS, before and after each rotation. Left out of ours:
the HTTP request.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from timing import Figures, typical

from e4c2 import clients, topics
from e4c2.c2keys import NO_VERSION
from e4c2.delivery import COMMAND_QOS, Courier
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.plugins import load_kms, load_suite, load_transport
from e4core.transport import Transport
from e4kms import file as file_kms

MEMBERS = 1000
TOPIC = "bench"
COMMAND_LEN = 73
REPEAT = 15
IN_FLIGHT = 20


def figures() -> Figures:
    with tempfile.TemporaryDirectory() as folder, _mosquitto(Path(folder)) as port:
        return {f"rotate.{MEMBERS}": asyncio.run(_compare(Path(folder), port))}


async def _compare(folder: Path, port: int) -> dict[str, float]:
    store, realm = _fleet(folder)
    async with load_transport(f"mqtt://127.0.0.1:{port}", "bench-c2") as connection:
        transport = _Stopwatch(connection)
        courier = Courier(store, realm, transport)
        running = asyncio.create_task(courier.run())
        await _until_delivered(courier, transport, 0)
        turns = []
        for _ in range(REPEAT):
            before = await asyncio.to_thread(_floor, port)
            ours = await _rotate(store, realm, courier, transport)
            turns.append((ours, (before + await asyncio.to_thread(_floor, port)) / 2))
            await asyncio.sleep(0.5)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    store.close()
    return typical(turns)


def _fleet(folder: Path) -> tuple[Store, Realm]:
    kek = folder / "kek.json"
    file_kms.create(kek)
    uri = f"file://{kek}"
    store = Store(folder / "c2.sqlite")
    realm = store.run(open_realm, load_suite("sk"), {uri: load_kms(uri)}, time.time)
    names = [f"device-{number}" for number in range(MEMBERS)]
    for name in names:
        store.run(clients.create, realm, name, os.urandom(32), NO_VERSION)
    store.run(topics.create, realm, TOPIC)
    store.run(topics.join, realm, TOPIC, names)
    return store, realm


async def _rotate(store: Store, realm: Realm, courier: Courier, transport: _Stopwatch) -> float:
    begun = time.perf_counter()
    already = transport.acknowledged
    await store.write(topics.rotate, realm, TOPIC)
    return await _until_delivered(courier, transport, already) - begun


async def _until_delivered(courier: Courier, transport: _Stopwatch, already: int) -> float:
    transport.wanted = already + MEMBERS
    transport.reached.clear()
    courier.wake()
    await transport.reached.wait()
    return transport.last


class _Stopwatch:
    """A transport that notes when the broker's last acknowledgement came."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.subscribe = transport.subscribe
        self.unsubscribe = transport.unsubscribe
        self.max_qos = transport.max_qos
        self.acknowledged = 0
        self.wanted = 0
        self.reached = asyncio.Event()
        self.last = 0.0

    @property
    def connected(self) -> bool:
        return self._transport.connected

    @property
    def connections(self) -> int:
        return self._transport.connections

    def publish(self, topic: str, payload: bytes, qos: int = 1, /) -> asyncio.Future[None]:
        publication = asyncio.ensure_future(self._transport.publish(topic, payload, qos))
        publication.add_done_callback(self._acknowledged)
        return publication

    def _acknowledged(self, done: asyncio.Future[None]) -> None:
        if done.cancelled() or done.exception():
            return
        self.acknowledged += 1
        if self.acknowledged == self.wanted:
            self.last = time.perf_counter()
            self.reached.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """The transport is closed by whoever opened it."""

    def __aiter__(self):  # type: ignore[no-untyped-def]
        return self._transport.__aiter__()


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


@contextmanager
def _mosquitto(folder: Path) -> Iterator[int]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise SystemExit("mosquitto is missing; install it: apt-get install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
        "max_inflight_messages 0\nmax_queued_messages 0\n"
    )
    with subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
        try:
            _wait(port)
            yield port
        finally:
            broker.terminate()


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("mosquitto does not start")
