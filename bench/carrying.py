# SPDX-License-Identifier: Apache-2.0
"""A fleet, and a courier of whose last acknowledgement is known when it came."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from e4c2 import topics
from e4c2.c2keys import NO_VERSION
from e4c2.delivery import Courier
from e4c2.enrolment import bulk
from e4c2.enrolment.bulk import New
from e4c2.model import Delivery, outbox
from e4c2.rows import Realm
from e4c2.store.address import Address
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.keys import Secret
from e4core.plugins import load_kms, load_suite, load_transport
from e4core.transport import Transport
from e4kms import file as file_kms

PORTION = 10_000
"""Clients registered in one transaction."""
SYMMETRIC_KEY_LEN = 32


@contextmanager
def opened(suite: str, where: Path | Address, kek: Path) -> Iterator[tuple[Store, Realm]]:
    """A C2 of a symmetric suite on a database, new or not; ``kek`` is made if it is missing."""
    if not kek.exists():
        file_kms.create(kek)
    uri = f"file://{kek}"
    store = Store(where)
    try:
        yield store, store.run(open_realm, load_suite(suite), {uri: load_kms(uri)}, time.time)
    finally:
        store.close()


def enrol(store: Store, realm: Realm, names: list[str]) -> None:
    for start in range(0, len(names), PORTION):
        new = [New(name, Secret(os.urandom(SYMMETRIC_KEY_LEN)), NO_VERSION) for name in names[start : start + PORTION]]
        store.run(bulk.create_clients, realm, new)


def gather(store: Store, realm: Realm, topic: str, names: list[str]) -> None:
    """A topic, and its members."""
    store.run(topics.create, realm, topic)
    store.run(bulk.join, realm, topic, names)


class Carrier:
    """A courier at work, whose publications are counted."""

    def __init__(self, store: Store, realm: Realm, transport: Stopwatch) -> None:
        self._store, self._realm, self._transport = store, realm, transport
        self._courier = Courier(store, realm, transport)

    @classmethod
    @asynccontextmanager
    async def at_work(cls, store: Store, realm: Realm, broker: str) -> AsyncIterator[Self]:
        async with load_transport(broker, "bench-c2") as connection:
            self = cls(store, realm, Stopwatch(connection))
            running = asyncio.create_task(self._courier.run())
            try:
                yield self
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    async def rotate(self, topic: str, members: int) -> float:
        """Seconds until the broker has acknowledged all commands."""
        begun, already = time.perf_counter(), self._transport.acknowledged
        await self._store.write(topics.rotate, self._realm, topic)
        return await self._until(already + members) - begun

    async def settle(self, members: int) -> None:
        """Wait for what is on its way from the beginning."""
        await self._until(self._transport.acknowledged + members)

    async def confirm(self) -> None:
        """As if all devices had answered."""
        await asyncio.sleep(0.5)  # what the broker has is written down meanwhile
        done = sa.update(outbox).where(outbox.c.state == Delivery.SENT.value).values(state=Delivery.CONFIRMED.value)
        await self._store.write(lambda db: db.execute(done) and None)

    async def _until(self, wanted: int) -> float:
        self._transport.wanted = wanted
        self._transport.reached.clear()
        self._courier.wake()
        await self._transport.reached.wait()
        return self._transport.last


class Stopwatch:
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
