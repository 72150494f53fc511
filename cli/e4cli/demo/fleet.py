# SPDX-License-Identifier: Apache-2.0
"""A C2 with its devices, whole and real, that leaves nothing behind: HTTP to the C2, a broker between it and the devices."""

from __future__ import annotations

import asyncio
import secrets
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from e4c2.app import Started, serve
from e4c2.settings import Settings
from e4cli.api_client import Api, Document
from e4cli.connection import Token
from e4cli.demo.wire import Eavesdropper, eventually
from e4core.errors import TransportError
from e4core.formats import AnyClient, AnyState, new_client, new_state
from e4core.keys import ClientId, Secret
from e4core.message import Message
from e4core.plugins import load_transport
from e4core.suite import Suite
from e4device.runtime import Device
from e4device.statefile import StateFile

P = ParamSpec("P")
T = TypeVar("T")

REPLAYED = "replayed"


@dataclass
class Member:
    """A device, and all that it read."""

    name: str
    client: AnyClient
    device: Device
    read: list[Message] = field(default_factory=list)

    @property
    def id(self) -> ClientId:
        return self.client.state.client_id

    @property
    def refusals(self) -> Counter[str]:
        """Messages that it has refused, by kind of error."""
        counters = self.device.counters
        return counters.errors + Counter({REPLAYED: counters.replayed})

    def double(self) -> AnyClient:
        """Somebody who has taken all that the device holds at this moment, and obeys nobody."""
        return self._copy()

    def posing_as(self, other: ClientId) -> AnyClient:
        """The device with a lie in its mouth: it says that it is ``other``."""
        return self._copy(client_id=other)

    def _copy(self, **changed: Any) -> AnyClient:
        # clean: it refuses nothing only because the device has seen it
        state = replace(self.client.state, clean=True, **changed)
        return new_client(self.client.suite, state, _forget)


class Fleet:
    """Used inside ``async with``; ``topic`` is where its devices talk."""

    patience_s = 10.0
    """How long something may take to happen."""

    def __init__(self, suite: Suite, folder: Path, broker: str | None = None) -> None:
        """Nothing runs yet. Args: folder: empty, removed by the caller.  broker: URI; None: one inside this process."""
        self.suite = suite
        self.topic = f"e4-demo/{secrets.token_hex(4)}/temperature"
        self.members: dict[str, Member] = {}
        self._folder = folder
        self._broker = broker
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start C2 and eavesdropper. Raises: E4Error."""
        try:
            started = await self._start_c2()
            self._broker = self._broker or started.broker
            token = Token(_require(started.admin_token), "the demo")
            self._api = self._stack.enter_context(Api(started.url, token))
            about = await self.ask(self._api.get, "/v1/c2")
            self._c2_public = bytes.fromhex(about["c2_keys"][-1]["public"]) if about["c2_keys"] else b""
            listener = Eavesdropper(load_transport(self._broker, ""), self._is_ours)
            self.wire = await self._stack.enter_async_context(listener)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self._stack.aclose()

    async def ask(self, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the C2 over HTTP, while the fleet goes on."""
        return await asyncio.to_thread(question, *args, **kwargs)

    async def enrol(self, name: str) -> None:
        """Make a device with a key and a state of its own, register it, and connect it."""
        private = Secret(self.suite.device.generate())
        state = new_state(self.suite, ClientId(secrets.token_bytes(16)), private, self._c2_public)
        public = self.suite.device.public(self.suite.device.load(private))
        new = {"name": name, "id": state.client_id.hex(), "key": b64encode(public).decode()}
        await self.ask(self._api.post, "/v1/clients", new)
        file = self._stack.enter_context(StateFile(self._folder / f"{name}.state"))
        file.create(state)
        client = new_client(self.suite, state, file.save)
        # without a client id, for the broker is to keep nothing
        device = Device(client, load_transport(_require(self._broker), ""), hello_delay_s=0)
        member = self.members[name] = Member(name, client, device)
        await self._stack.enter_async_context(device)
        self._keep(_collect(member))
        await device.subscribe(self.topic)

    async def proven(self) -> bool:
        """Whether every device has proved to the C2 that it holds its key."""
        met = await self.eventually(lambda: all(each.device.synchronised for each in self.members.values()))
        clients = await self.ask(lambda: list(self._api.items("/v1/clients")))
        return met and len(clients) == len(self.members) and all(each["reports"] for each in clients)

    async def open_topic(self, names: Iterable[str]) -> list[Document]:
        """Create the topic with these members, who in public-key suites get to know each other; the operations."""
        ids = [self.members[name].id.hex() for name in names]
        made = await self.ask(self._api.post, "/v1/topics", {"name": self.topic})
        self._path = f"/v1/topics/{made['id']}"
        operations = [await self.ask(self._api.post, f"{self._path}/members", {"clients": ids})]
        if not self.suite.is_symmetric:
            for holder, peer in [(holder, peer) for holder in ids for peer in ids if holder != peer]:
                operations.append(await self.ask(self._api.post, f"/v1/clients/{holder}/links", {"peer": peer}))
        return operations

    async def rotate(self) -> Document:
        return await self.ask(self._api.post, f"{self._path}/rotate")

    async def evict(self, name: str) -> Document:
        return await self.ask(self._api.post, f"{self._path}/evict", {"clients": [self.members[name].id.hex()]})

    async def confirmed(self, operation: Document) -> bool:
        """Whether all devices confirm all commands of ``operation``."""
        deadline = time.monotonic() + self.patience_s
        counts = operation["counts"]
        while set(counts) != {"confirmed"} and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            counts = (await self.ask(self._api.get, f"/v1/operations/{operation['id']}"))["counts"]
        return set(counts) == {"confirmed"}

    async def say(self, name: str, payload: bytes) -> bytes:
        """Let a device publish; what of it passed the broker."""
        count = len(self.wire.on(self.topic))
        await self.members[name].device.publish(self.topic, payload)
        return await self.wire.hear(self.topic, count)

    async def inject(self, data: bytes) -> None:
        """Let the eavesdropper publish."""
        count = len(self.wire.on(self.topic))
        await self.wire.send(self.topic, data)
        # also until it is heard here, else `say` might take it for its own
        await self.wire.hear(self.topic, count)

    async def eventually(self, condition: Callable[[], bool]) -> bool:
        """Whether ``condition`` comes true in time."""
        return await eventually(condition, self.patience_s)

    def named(self, names: Collection[str]) -> list[Member]:
        return [self.members[name] for name in names]

    def topic_key(self, name: str) -> bytes | None:
        """The newest key that a device holds for the topic."""
        topics = cast(Mapping[bytes, Any], self.members[name].client.state.topics)
        held = topics.get(self.suite.derive_topic(self.topic))
        newest = held[-1] if isinstance(held, tuple) else held  # Format 2 may hold several
        return bytes(newest.key) if newest is not None and newest.key else None

    async def _start_c2(self) -> Started:
        # not Settings(...): that would let the environment of the user choose a database
        settings = Settings.model_construct(
            suite=self.suite.name,
            data=self._folder / "c2",
            broker=self._broker or "embedded://127.0.0.1:0",
            port=0,
        )
        started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        serving = self._keep(serve(settings, started.set_result))
        await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            raise TransportError("the C2 ended")
        return started.result()

    def _is_ours(self, topic: str) -> bool:
        return topic == self.topic or any(topic.startswith(f"e4/{each.id.hex()}") for each in self.members.values())

    def _keep(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` until the fleet ends."""
        task = asyncio.create_task(work)
        self._stack.push_async_callback(_end, task)
        return task


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _collect(member: Member) -> None:
    async for _, message in member.device.messages():
        member.read.append(message)


def _require(value: T | None) -> T:
    assert value is not None
    return value


def _forget(_state: AnyState) -> None:
    """What a double does is kept nowhere."""
