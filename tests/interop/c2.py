# SPDX-License-Identifier: Apache-2.0
"""Our key server inside the test's own process: a store, its realm, and a courier at a broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from e4c2 import c2keys, clients, commands
from e4c2.commands import Command, Operation
from e4c2.delivery import Courier
from e4c2.model import Delivery
from e4c2.rows import Realm
from e4c2.store.engine import Store
from e4c2.store.first_start import open_realm
from e4core.suite import Suite
from e4kms import file as kek_file
from e4transports.mqtt import open_transport

P = ParamSpec("P")
T = TypeVar("T")
UseCase = Callable[Concatenate[sa.Connection, Realm, P], T]

PATIENCE_S = 20.0


class C2:
    """Asks use cases of a database; what they bring to the outbox is carried by the courier."""

    def __init__(self, store: Store, realm: Realm, courier: Courier) -> None:
        self.realm = realm
        self._store = store
        self._courier = courier

    async def do(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        result = await self._store.write(use_case, self.realm, *args, **kwargs)
        self._courier.wake()
        return result

    async def do_in(self, seconds: float, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What would come of it so much later."""
        later = replace(self.realm, clock=lambda: time.time() + seconds)
        return await self._store.write(use_case, later, *args, **kwargs)

    async def ask(self, use_case: UseCase[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._store.read(use_case, self.realm, *args, **kwargs)

    async def enrol(self, name: str, private: bytes) -> bytes:
        """Register a device that holds ``private``; the public key that it needs of this C2 (empty in ``sk``)."""
        device = self.realm.suite.device
        version = await self.ask(c2keys.active_version)
        await self.do(clients.create, name, device.public(device.load(private)), version)
        return await self.public_key()

    async def public_key(self) -> bytes:
        """Of the newest version; empty in symmetric suites."""
        keys = await self.ask(c2keys.all_versions)
        return bytes.fromhex(keys[-1].public) if keys else b""

    async def ends(self, operation: Operation, **expected: int) -> None:
        """Until the deliveries of an operation are in these states, and in no other."""
        identity = bytes.fromhex(operation.id)

        async def counts() -> dict[Delivery, int]:
            return (await self._store.read(commands.count, identity)).counts

        async def ended() -> bool:
            return await counts() == expected

        await until(ended)
        assert await counts() == expected, f"{operation.kind} of {operation.subject}"

    async def deliveries(self, client: str) -> list[Command]:
        """All to one client, oldest first."""
        return await self._store.read(commands.page, limit=10_000, client_name=client)


@contextmanager
def opened(folder: Path, suite: Suite) -> Iterator[tuple[Store, Realm]]:
    """The database in ``folder``, made if there is none. Several processes may have it open."""
    uri = f"file://{folder}/kek.json"
    kek_file.create(folder / "kek.json")
    store = Store(folder / "c2.db")
    try:
        yield store, store.run(open_realm, suite, {uri: kek_file.open_kms(uri)}, time.time)
    finally:
        store.close()


@asynccontextmanager
async def serving(folder: Path, suite: Suite, broker: str) -> AsyncIterator[C2]:
    """A C2 with the database in ``folder``."""
    with opened(folder, suite) as (store, realm):
        async with open_transport(broker, "c2") as transport:
            courier = Courier(store, realm, transport)
            async with beside(courier.run()):
                yield C2(store, realm, courier)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """``work`` goes on until the block ends; what ended it before is raised then."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=PATIENCE_S)
        assert task.done(), "what was cancelled goes on"
        if not task.cancelled():
            task.result()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``condition`` holds, or some seconds have passed; to be asserted by the caller."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():  # noqa: ASYNC110  what is waited for happens at a broker, in a thread or a process
                await asyncio.sleep(0.02)
