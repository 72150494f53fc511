# SPDX-License-Identifier: Apache-2.0
"""A device of Format 2 at work, and its state file: commands and acks, hello and Sync, epochs that come late, a missing clock."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from e4core import command2, report
from e4core.client2 import Client2
from e4core.command2 import Command2, NewIDKey, SetPubKey, SetTopicKey, Sync
from e4core.control2 import seal_command
from e4core.errors import AuthenticationFailed, ClockUnset, E4Error, InvalidInput, UnknownKey
from e4core.formats import AnyState, new_client
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey, control_topic, report_topic
from e4core.report import Ack, Hello, Offer, Outcome, Report
from e4core.state2 import State2, new_state
from e4core.suite import Channel, Suite
from e4core.transport import Transport
from e4device.runtime import Device
from e4device.statefile import StateFile
from e4transports.memory import MemoryBroker
from tests.core.suites2 import GCM_PK, SIV_SK, SUITES, suite_named
from tests.device.fleet import PATIENCE_S, until
from tests.device.states import CHEAP, PASSPHRASE

TOPIC = "weather/attic"
R = TypeVar("R", Hello, Ack, Offer)

suites = pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)


@dataclass
class Enrolled:
    """A device as the least of C2s knows it."""

    suite: Suite
    state: State2
    channel: Channel
    link: Transport
    sequence: int = 0

    @property
    def public(self) -> bytes:
        assert self.suite.signature
        whole = self.suite.device.public(self.suite.device.load(self.state.private))
        return whole[: self.suite.signature.public_len]

    async def send(self, *commands: Command2) -> None:
        self.sequence += 1
        plain = command2.encode(commands, int(time.time()))
        id_ = self.state.client_id
        data = seal_command(self.suite, self.channel, id_, self.sequence, plain, os.urandom(16))
        await self.link.publish(control_topic(id_), data, 2)

    async def next_of(self, kind: type[R]) -> R:
        async for incoming in self.link:
            if incoming.topic == report_topic(self.state.client_id):
                got: Report = report.open_report(self.suite, self.channel, self.state.client_id, incoming.payload)
                if isinstance(got, kind):
                    return got
        raise AssertionError("the transport was closed")

    async def command(self, *commands: Command2) -> Ack:
        await self.send(*commands)
        ack = await self.next_of(Ack)
        while ack.subject != report.subject(self.sequence):
            ack = await self.next_of(Ack)
        return ack


@dataclass
class Fleet:
    suite: Suite
    broker: MemoryBroker

    def __post_init__(self) -> None:
        self.c2 = self.suite.c2.load(self.suite.c2.generate())

    @asynccontextmanager
    async def enrol(self, name: str) -> AsyncIterator[Enrolled]:
        suite = self.suite
        private = Secret(suite.device.generate())
        state = new_state(suite, ClientId(suite.derive_id(name)), private, suite.c2.public(self.c2))
        channel = suite.control.at_c2(self.c2, suite.device.public(suite.device.load(private)))
        async with self.broker.connect() as link:
            await link.subscribe(report_topic(state.client_id))
            yield Enrolled(suite, state, channel, link)

    def device(
        self, enrolled: Enrolled, *, clock: Callable[[], float] = time.time, trusted: bool = True, delay_s: float = 0
    ) -> Device:
        client = new_client(self.suite, enrolled.state, lambda _state: None, clock_is_trusted=trusted)
        transport = self.broker.connect(enrolled.state.client_id.hex())
        return Device(client, transport, clock, hello_delay_s=delay_s)


def tell(suite: Suite, story: Callable[[Fleet], Awaitable[None]]) -> None:
    async def told() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await story(Fleet(suite, MemoryBroker()))

    asyncio.run(told())


def set_key(suite: Suite, epoch: int, key: TopicKey, older_until: int = 0) -> SetTopicKey:
    return SetTopicKey(FullTopicHash(suite.derive_topic(TOPIC)), epoch, key, older_until=older_until)


def new_key() -> TopicKey:
    return TopicKey(os.urandom(32))


@suites
def test_members_read_each_other(suite: Suite) -> None:
    async def story(fleet: Fleet) -> None:
        async with (
            fleet.enrol("alice") as alice,
            fleet.enrol("bob") as bob,
            fleet.device(alice) as a,
            fleet.device(bob) as b,
        ):
            key = new_key()
            for each, other in ((alice, bob), (bob, alice)):
                commands: list[Command2] = [set_key(suite, 1, key)]
                if not suite.is_symmetric:
                    commands.append(SetPubKey(other.state.client_id, other.public))
                assert (await each.command(*commands)).outcome is Outcome.APPLIED
            await b.subscribe(TOPIC)
            for payload in (b"rain", b"rain", b""):
                await a.publish(TOPIC, payload)
                _, message = await anext(b.messages())
                assert (message.payload, message.sender) == (payload, alice.state.client_id)
                assert message.authenticated != suite.is_symmetric

    tell(suite, story)


@suites
def test_hello_is_repeated_with_fresh_nonces_until_a_sync(suite: Suite) -> None:
    async def story(fleet: Fleet) -> None:
        async with fleet.enrol("device") as device, fleet.device(device) as running:
            first, second = await device.next_of(Hello), await device.next_of(Hello)
            assert first.nonce != second.nonce
            await device.command(Sync(second.nonce, 0))
            await until(lambda: running.synchronised)
            await until(lambda: all("_say_hello" not in str(task.get_coro()) for task in asyncio.all_tasks()))

    tell(suite, story)


def test_a_device_without_a_clock_takes_the_time_of_the_c2() -> None:
    async def story(fleet: Fleet) -> None:
        start = time.monotonic()
        async with (
            fleet.enrol("device") as device,
            fleet.device(device, clock=lambda: time.monotonic() - start, trusted=False) as running,
        ):
            hello = await device.next_of(Hello)
            await device.command(set_key(fleet.suite, 1, new_key()))
            with pytest.raises(ClockUnset):
                await running.publish(TOPIC, b"x")
            await device.command(Sync(hello.nonce, 1_800_000_000_000))
            await running.subscribe(TOPIC)
            await running.publish(TOPIC, b"x")
            _, message = await anext(running.messages())
            assert 1_800_000_000 <= message.timestamp < 1_800_000_100

    tell(SIV_SK, story)


def test_a_message_that_comes_before_its_epoch_is_read_when_the_key_has_come() -> None:
    async def story(fleet: Fleet) -> None:
        async with (
            fleet.enrol("alice") as alice,
            fleet.enrol("bob") as bob,
            fleet.device(alice) as a,
            fleet.device(bob) as b,
        ):
            old, new = new_key(), new_key()
            await bob.command(set_key(fleet.suite, 1, old))
            await alice.command(set_key(fleet.suite, 2, new))
            await b.subscribe(TOPIC)
            for i in range(3):
                await a.publish(TOPIC, b"%d" % i)
            await until(lambda: b.counters.errors["epoch_unknown"] == 3)
            await bob.command(set_key(fleet.suite, 2, new))
            assert [(await anext(b.messages())).message.payload for _ in range(3)] == [b"0", b"1", b"2"]

    tell(SIV_SK, story)


def test_a_message_that_came_too_early_is_given_up_after_a_minute() -> None:
    async def story(fleet: Fleet) -> None:
        async with fleet.enrol("alice") as alice, fleet.enrol("bob") as bob:
            now = time.time()
            async with fleet.device(alice) as a, fleet.device(bob, clock=lambda: now) as b:
                new = new_key()
                await bob.command(set_key(fleet.suite, 1, new_key()))
                await alice.command(set_key(fleet.suite, 2, new))
                await b.subscribe(TOPIC)
                await a.publish(TOPIC, b"lost")
                await until(lambda: b.counters.errors["epoch_unknown"] == 1)
                now += 61
                await bob.command(set_key(fleet.suite, 2, new))
                now -= 61
                await a.publish(TOPIC, b"read")
                assert (await anext(b.messages())).message.payload == b"read"

    tell(SIV_SK, story)


def test_the_offer_of_new_keys_follows_the_ack() -> None:
    async def story(fleet: Fleet) -> None:
        async with fleet.enrol("device") as device, fleet.device(device, delay_s=3600):
            assert (await device.command(NewIDKey(b"n" * 16))).outcome is Outcome.APPLIED
            report.check_offer(fleet.suite, device.state.client_id, await device.next_of(Offer))

    tell(GCM_PK, story)


@suites
@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["clear", "sealed"])
def test_a_state_file_keeps_all_of_it_from_one_run_to_the_next(
    suite: Suite, passphrase: Secret | None, tmp_path: Path
) -> None:
    def file() -> StateFile:
        return StateFile(tmp_path / "state", passphrase, cost=CHEAP, suites=suite_named)

    private, c2 = Secret(suite.device.generate()), suite.c2.generate()
    public = suite.c2.public(suite.c2.load(c2))
    with file() as made:
        made.create(new_state(suite, ClientId(bytes(16)), private, public))
    for starts in (1, 2):
        with file() as held:
            client = new_client(suite, held.load(time.time()), held.save)
            assert isinstance(client, Client2)
            assert client.state.starts == starts
            client.close()
    assert file().is_sealed() == (passphrase is not None)
    loaded: AnyState = file().load(time.time())
    assert (loaded.suite, bytes(loaded.private), loaded.clean) == (suite.name, bytes(private), True)


def test_a_sealed_state_of_format_2_needs_its_passphrase_and_shows_no_change(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateFile(path, PASSPHRASE, cost=CHEAP, suites=suite_named) as file:
        file.create(new_state(SIV_SK, ClientId(bytes(16)), Secret(b"\7" * 32)))
    with pytest.raises(InvalidInput, match="sealed"):
        StateFile(path, suites=suite_named).load(0)
    with pytest.raises(AuthenticationFailed):
        StateFile(path, Secret(b"another passphrase"), suites=suite_named).load(0)
    data = path.read_bytes()
    path.write_bytes(data[:-30] + bytes([data[-30] ^ 1]) + data[-29:])
    with pytest.raises(E4Error):
        StateFile(path, PASSPHRASE, suites=suite_named).load(0)


def test_e4go_takes_no_state_of_format_2(tmp_path: Path) -> None:
    with StateFile(tmp_path / "state", suites=suite_named) as file:
        file.create(new_state(SIV_SK, ClientId(bytes(16)), Secret(b"\7" * 32)))
        with pytest.raises(InvalidInput, match="e4go has no suite"):
            file.export_e4go(tmp_path / "e4go", 0)


def test_publishing_before_the_key_has_come_says_so() -> None:
    async def story(fleet: Fleet) -> None:
        async with fleet.enrol("device") as device, fleet.device(device) as running:
            with pytest.raises(UnknownKey):
                await running.publish(TOPIC, b"x")

    tell(SIV_SK, story)
