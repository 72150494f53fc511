# SPDX-License-Identifier: Apache-2.0
"""Two devices at a broker: one with the witness client, which behaves like e4go, and one of this project."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from e4core.client import Client
from e4core.keys import ClientId, Secret
from e4core.state import State, new_state
from e4core.suite import Suite
from e4core.transport import Transport
from e4device.runtime import Device, Received
from e4device.statefile import StateFile
from e4transports.mqtt import open_transport
from tests.interop import e4go_like as e4go
from tests.interop.c2 import PATIENCE_S, beside
from tests.interop.e4go_crypto import E4goError


class E4goDevice:
    """Obeys its control topic and reads its topics, in the order of arrival; it never reports.

    Attributes: seconds: timestamps of the commands that it obeyed.
    """

    def __init__(self, client: e4go.Client, transport: Transport) -> None:
        self.client = client
        self.seconds: list[int] = []
        self._transport = transport
        self._commands: asyncio.Queue[str] = asyncio.Queue()
        self._messages: asyncio.Queue[bytes | str | None] = asyncio.Queue()

    async def hears(self, *expected: str) -> None:
        """The next on the control topic are these: names of commands obeyed, or kinds of errors."""
        heard: list[str] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while len(heard) < len(expected):
                    heard.append(await self._commands.get())
        assert heard == list(expected)

    async def hears_nothing_else(self) -> None:
        """Nothing came on the control topic but what was heard."""
        await self._transport.publish(self.client.receiving_topic, b"the end", 2)
        await self.hears("too_short")

    async def reads(self, expected: bytes | str) -> None:
        """The next message is this payload, or fails with this kind of error."""
        async with asyncio.timeout(PATIENCE_S):
            assert await self._messages.get() == expected

    async def subscribe(self, topic: str) -> None:
        await self._transport.subscribe(topic)

    async def publish(self, topic: str, payload: bytes) -> None:
        await self._transport.publish(topic, self.client.protect(payload, topic, time.time()), 2)

    async def run(self) -> None:
        async for topic, payload in self._transport:
            if topic == self.client.receiving_topic:
                self._commands.put_nowait(self._obey(payload))
            else:
                self._messages.put_nowait(self._read(topic, payload))

    def _obey(self, payload: bytes) -> str:
        now = time.time()
        try:
            name, *_ = e4go.COMMANDS[self.client.key.open_command(payload, now)[0]]
            self.client.unprotect(payload, self.client.receiving_topic, now)
        except E4goError as error:
            return error.kind
        self.seconds.append(int.from_bytes(payload[:8], "little"))
        return name

    def _read(self, topic: str, payload: bytes) -> bytes | str | None:
        try:
            return self.client.unprotect(payload, topic, time.time())
        except E4goError as error:
            return error.kind


@asynccontextmanager
async def e4go_device(client: e4go.Client, broker: str, session: str) -> AsyncIterator[E4goDevice]:
    async with open_transport(broker, session) as transport:
        device = E4goDevice(client, transport)
        await transport.subscribe(client.receiving_topic)
        async with beside(device.run()):
            yield device


def new_e4go_client(suite: Suite, name: str, private: bytes, c2_public: bytes, path: Path | None = None) -> e4go.Client:
    """A client of the suite's mode, with its store at ``path``, readable by its owner alone."""
    store = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b") if path else None
    if suite.is_symmetric:
        return e4go.Client.new_sk(name, private, store)
    return e4go.Client.new_pk(name, private, c2_public, store)


class OurDevice:
    """`Device` with what tests ask of it."""

    def __init__(self, client: Client, device: Device) -> None:
        self.client = client
        self.device = device
        self._messages = aiter(device.messages())

    async def reads(self, expected: bytes) -> None:
        async with asyncio.timeout(PATIENCE_S):
            received: Received = await anext(self._messages)
        assert received.message.payload == expected

    async def publish(self, topic: str, payload: bytes) -> None:
        await self.device.publish(topic, payload, 2)

    async def subscribe(self, topic: str) -> None:
        await self.device.subscribe(topic)


@asynccontextmanager
async def our_device(
    suite: Suite, state: State, file: StateFile, broker: str, session: str
) -> AsyncIterator[OurDevice]:
    """A device that says hello at once; its state file is locked already."""
    client = Client(suite, state, file.save)
    async with Device(client, open_transport(broker, session), hello_delay_s=0) as device:
        yield OurDevice(client, device)


def new_our_state(suite: Suite, name: str, private: bytes, c2_public: bytes) -> State:
    return new_state(suite, ClientId(suite.derive_id(name)), Secret(private), c2_public)
