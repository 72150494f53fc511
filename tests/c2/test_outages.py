# SPDX-License-Identifier: Apache-2.0
"""The token of the C2's own key fails while the C2 serves: nothing is lost, it is told, and all goes on by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest

from e4backends.sodium import x25519
from e4c2 import c2keys, delivery, outages, topics
from e4c2.api import http
from e4c2.app import open_c2
from e4c2.delivery import Courier
from e4c2.model import Delivery, Reason
from e4c2.outages import Outage
from e4c2.token_keys import TokenKeys
from e4core.errors import Conflict, KmsDenied, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.plugins import load_suite
from e4transports.memory import MemoryBroker
from tests.c2.served import b64, bearer, created, device_key, operation, problem, settings_in
from tests.c2.test_courier import device
from tests.c2.world import World

PK = load_suite("pk")
PATIENCE_S = 30.0
FAILURES = {
    "away": KmsUnavailable("the token does not answer"),
    "session lost": KmsError("the session is gone"),
    "PIN refused": KmsDenied("it refuses the PIN", kind="kms_pin_wrong"),
}


@dataclass
class Token:
    """Pairs in memory; with ``failure`` it does nothing but that."""

    pairs: dict[str, Secret] = field(default_factory=dict)
    failure: KmsError | None = None
    asked: int = 0

    def open(self, uri: str, algorithm: str) -> Handle:
        return Handle(self, uri)

    def keys(self) -> TokenKeys:
        return TokenKeys("memory:c2-{version}", PK, self.open)


@dataclass
class Handle:
    token: Token
    uri: str

    def create(self) -> None:
        if self.uri in self.token.pairs:
            raise Conflict("there is one")
        self.token.pairs[self.uri] = Secret(PK.c2.generate())

    def public(self) -> bytes:
        return PK.c2.public(PK.c2.load(self._private()))

    def agree(self, peer_public: bytes, /) -> Secret:
        self.token.asked += 1
        return x25519(self._private(), peer_public)

    def sign(self, message: bytes, /) -> bytes:
        raise NotImplementedError

    def close(self) -> None:
        pass

    def _private(self) -> Secret:
        if self.token.failure:
            raise self.token.failure
        return self.token.pairs[self.uri]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(outages, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr(delivery, "POLL_S", 0.02)


@pytest.fixture
def token() -> Token:
    return Token()


@pytest.fixture
def fleet(pk: World, token: Token) -> World:
    """Two devices that know a C2 whose key is in a token, and are in a topic."""
    keys = token.keys()
    pk.realm = replace(pk.realm, token_keys=keys)
    pk.do(c2keys.new, Reason.COMPROMISED, keys.make(1))
    for name in "ab":
        pk.add(name)
    pk.topic("t", "a", "b")
    pk.clock.now += 10
    return pk


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(done):  # noqa: ASYNC110  told by nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def at_work(world: World, *devices: str) -> AsyncIterator[tuple[Courier, MemoryBroker]]:
    """A courier that must not end, and these devices."""
    broker = MemoryBroker()
    async with broker.connect("c2") as link, asyncio.timeout(PATIENCE_S):
        courier = Courier(world.store, world.realm, link)
        tasks = [asyncio.create_task(device(world, broker, name)) for name in devices]
        await asyncio.sleep(0.05)
        tasks.append(asyncio.create_task(courier.run()))
        try:
            yield courier, broker
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


@pytest.mark.parametrize("name", FAILURES)
def test_commands_wait_while_the_token_fails_and_go_on_by_themselves(
    fleet: World, token: Token, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        fleet.realm.channels.clear()
        token.failure, token.asked = FAILURES[name], 0
        changed = fleet.do(topics.rotate, "t")
        async with at_work(fleet, "a", "b") as (courier, _):
            await until(lambda: token.asked > 3)
            assert courier.failure == str(token.failure)
            assert fleet.counts(changed) == {"pending": 2}
            token.failure = None
            await until(lambda: fleet.counts(changed) == {"confirmed": 2})
            assert [courier.failure, *courier.refused] == [None]

    asyncio.run(work())
    (told,) = errors(caplog)
    assert told.startswith(f"commands wait: {FAILURES[name]}")
    assert ("start the C2 anew" in told) is (name == "PIN refused")
    assert "commands go on" in caplog.text


@pytest.mark.parametrize("name", FAILURES)
def test_reports_wait_while_the_token_fails_and_none_is_lost(
    fleet: World, token: Token, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.do(topics.rotate, "t")
    fleet.carry()
    fleet.obey()
    reports = list(fleet.reports)
    fleet.reports.clear()
    assert len(reports) == 2
    assert fleet.count(Delivery.SENT) == 2

    async def work() -> None:
        fleet.realm.channels.clear()
        token.failure, token.asked = FAILURES[name], 0
        fleet.clock.now += 1000  # else what a device may have confirmed meanwhile is sent again
        async with at_work(fleet) as (courier, broker):
            while not token.asked:  # until the courier listens; a report that comes twice changes nothing
                for report in reports:
                    broker.publish(report.topic, report.payload)
                await asyncio.sleep(0.1)
            await until(lambda: token.asked > 3)
            assert courier.failure == str(token.failure)
            token.failure = None
            await until(lambda: not fleet.count(Delivery.SENT))
            assert [courier.failure, *courier.refused] == [None]

    asyncio.run(work())
    (told,) = errors(caplog)
    assert told.startswith(f"reports wait: {FAILURES[name]}")


def meet(outage: Outage, failure: KmsError | None) -> None:
    with outage.met():
        if failure:
            raise failure


def test_each_outage_is_told_once_and_each_kind_of_failure_in_it(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("commands")
    for failure in (*FAILURES.values(), *FAILURES.values(), None, *FAILURES.values()):
        meet(outage, failure)
        assert outage.failure == (str(failure) if failure else None)
    assert len(errors(caplog)) == 2 * len(FAILURES)


def test_a_token_is_asked_less_and_less_often() -> None:
    outage, pauses = Outage("commands"), []
    for _ in range(2000):
        meet(outage, FAILURES["away"])
        pauses.append(outage.pause_s)
    assert pauses[0] == outages.FIRST_PAUSE_S
    assert pauses[-1] == outages.LONGEST_PAUSE_S
    assert all(later == min(2 * earlier, outages.LONGEST_PAUSE_S) for earlier, later in pairwise(pauses))
    meet(outage, None)
    assert outage.pause_s == outages.FIRST_PAUSE_S


def test_an_alarm_is_no_outage() -> None:
    outage = Outage("commands")
    with pytest.raises(Tampered):
        meet(outage, Tampered())
    assert outage.failure is None


async def ready(api: httpx2.AsyncClient, status: int) -> httpx2.Response:
    """The answer, once it has this status."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await api.get("/v1/ready")).status_code != status:  # noqa: ASYNC110  as those who watch over a C2 do
            await asyncio.sleep(0.01)
    return answer


def test_the_operator_is_told_why_commands_wait(tmp_path: Path, token: Token) -> None:
    async def work() -> None:
        async with open_c2(settings_in(tmp_path, suite="pk")) as (c2, text):
            assert text is not None
            realm = replace(c2.realm, token_keys=token.keys())
            courier = Courier(c2.store, realm, c2.transport)
            transport = httpx2.ASGITransport(http.build(replace(c2, realm=realm, courier=courier)))
            carrying = asyncio.create_task(courier.run())
            headers = bearer(text.decode())
            async with httpx2.AsyncClient(transport=transport, headers=headers, base_url="http://c2") as api:
                operation(await api.post("/v1/c2/key", json={"reason": "compromised"}))
                mine = {"name": "a", "key": b64(device_key(PK)), "c2_key": 2}
                client = created(await api.post("/v1/clients", json=mine))["id"]
                assert (await api.get("/v1/ready")).status_code == 200
                token.failure = FAILURES["session lost"]
                operation(await api.post(f"/v1/clients/{client}/reset"))
                problem(await ready(api, 503), 503, "kms_unavailable")
                assert (await api.get("/v1/kms")).json()["waits"] == "the session is gone"
                token.failure = None
                await ready(api, 200)
                assert (await api.get("/v1/kms")).json()["waits"] is None
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)

    asyncio.run(work())
