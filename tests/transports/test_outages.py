# SPDX-License-Identifier: Apache-2.0
"""What becomes of subscriptions across lost links, how connections are counted, and what is said of an outage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from e4core.errors import TransportError
from e4core.transport import Transport
from e4transports.memory import MemoryBroker
from e4transports.mqtt import open_transport
from tests.servers import Mosquitto
from tests.transports.conftest import PATIENCE_S
from tests.transports.stub import REFUSED, StubBroker


def test_a_subscription_that_is_refused_after_a_lost_link_is_said_and_asked_for_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        async with StubBroker() as broker, open_transport(broker.uri, "reader") as reader:
            await reader.subscribe("t")
            agreed, broker.verdict = broker.verdict, REFUSED
            await _cut(broker)
            await _until(lambda: "refused 't'" in caplog.text)
            broker.verdict = agreed
            await _cut(broker)

    _tell(story)
    assert caplog.text.count("the broker refused 't'") == 1
    assert "asking again on the next connection" in caplog.text


def test_a_subscription_that_was_never_agreed_on_is_not_asked_for_again() -> None:
    async def story() -> None:
        async with StubBroker(REFUSED) as broker, open_transport(broker.uri, "reader") as reader:
            with pytest.raises(TransportError, match="refused 't'"):
                await reader.subscribe("t")
            broker.subscribed.clear()
            broker.cut()
            await _until(lambda: reader.connections == 2)
            with pytest.raises(TransportError, match="refused 'u'"):
                await reader.subscribe("u")

    _tell(story)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_connections_are_counted_also_those_that_nobody_saw_break(mosquitto: Mosquitto, version: str) -> None:
    async def story() -> None:
        transport = open_transport(f"{mosquitto.uri}?version={version}", "")
        counts = [transport.connections]
        async with transport:
            counts.append(transport.connections)
            mosquitto.kill()  # in the event loop, on purpose: it sees nothing of the outage
            mosquitto.start()
            await _until(lambda: transport.connections == 2)
            assert transport.connected
        assert counts == [0, 1]

    _tell(story)


def test_connections_to_a_broker_in_memory_are_counted() -> None:
    async def story() -> None:
        transport: Transport = MemoryBroker().connect("x")
        assert transport.connections == 0
        async with transport:
            assert transport.connections == 1

    _tell(story)


def test_an_outage_is_said_once_with_each_cause_and_its_end(
    mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with open_transport(f"{mosquitto.uri}?version=3.1.1", "") as transport:
            for _ in range(2):
                await asyncio.to_thread(mosquitto.kill)
                await _until(lambda: "nothing listens there" in caplog.text)
                await asyncio.sleep(1)  # some more attempts
                await asyncio.to_thread(mosquitto.start)
                await transport.publish("t", b"")
                await _until(lambda: "again" in caplog.messages[-1] and transport.connected)
                said.append(list(caplog.messages))
                caplog.clear()

    said: list[list[str]] = []
    _tell(story)
    for lost, cause, again in said:
        assert lost.endswith("was lost; connecting again")
        assert "nothing listens there" in cause
        assert again.startswith("connected to the MQTT broker at")


def test_a_stop_on_purpose_is_no_outage(mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with open_transport(mosquitto.uri, "") as transport:
            await transport.publish("t", b"")

    with caplog.at_level(logging.DEBUG, "e4transports"):
        _tell(story)
    assert caplog.messages == []


def _tell(story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await story()

    asyncio.run(told())


async def _cut(broker: StubBroker) -> None:
    """Break the link, and wait until the next one has asked for its subscriptions."""
    broker.subscribed.clear()
    broker.cut()
    await broker.subscribed.wait()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # a property of a transport, not an event
        await asyncio.sleep(0.01)
