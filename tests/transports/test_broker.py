# SPDX-License-Identifier: Apache-2.0
"""The embedded broker."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from e4core.errors import InvalidInput, StorageError, TransportError
from e4core.transport import Incoming
from e4transports.broker import EmbeddedBroker
from e4transports.mqtt import open_transport
from tests.servers import free_port
from tests.transports.conftest import PATIENCE_S, receive
from tests.transports.proxy import Proxy


def test_its_uri_says_all_that_a_client_needs() -> None:
    async def story() -> str:
        port = free_port()
        async with EmbeddedBroker(port=port) as broker:
            assert broker.uri == f"mqtt://127.0.0.1:{port}?version=3.1.1&qos=1"
        async with EmbeddedBroker("::1") as broker, open_transport(broker.uri, "") as both:
            await both.subscribe("t")
            await both.publish("t", b"x")
            assert await receive(both, 1) == [Incoming("t", b"x")]
            return broker.uri

    assert asyncio.run(story()).startswith("mqtt://[::1]:")


def test_with_a_password_it_lets_in_those_who_know_it(tmp_path: Path) -> None:
    password, wrong = _password(tmp_path / "right word", "right"), _password(tmp_path / "wrong", "wrong")

    async def story() -> None:
        async with EmbeddedBroker(password_file=password) as broker:
            async with open_transport(broker.uri, "") as transport:
                await transport.publish("t", b"x")
            others = [
                broker.uri.replace("right%20word", "wrong").replace("%2Fright", "%2Fwrong"),
                broker.uri.replace("e4@", "root@"),
                broker.uri.partition("&password")[0],
                broker.uri.partition("&password")[0].replace("e4@", ""),
            ]
            assert str(wrong) in others[0].replace("%2F", "/")
            for uri in others:
                with pytest.raises(TransportError, match="refused"):
                    await open_transport(uri, "").__aenter__()

    asyncio.run(story())


def test_a_bad_password_file_is_said_before_it_listens(tmp_path: Path) -> None:
    async def story() -> None:
        async with EmbeddedBroker(password_file=tmp_path / "missing"):
            pass

    with pytest.raises(StorageError, match="missing"):
        asyncio.run(story())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost"])
def test_without_a_password_only_the_loopback_interface_is_allowed(host: str) -> None:
    with pytest.raises(InvalidInput):
        EmbeddedBroker(host)


def test_a_port_in_use_is_said() -> None:
    async def story(port: int) -> None:
        async with EmbeddedBroker(port=port):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(TransportError, match="in use"):
        asyncio.run(story(taken.getsockname()[1]))


def test_it_ends_while_clients_are_connected_and_begins_again_at_the_same_port() -> None:
    async def story() -> None:
        broker = EmbeddedBroker(port=free_port())
        async with broker:
            transport = await open_transport(broker.uri, "both").__aenter__()
            await transport.subscribe("t")
        publishing = asyncio.create_task(transport.publish("t", b"kept"))
        async with broker:
            await publishing
            assert await receive(transport, 1) == [Incoming("t", b"kept")]
            await transport.__aexit__(None, None, None)

    asyncio.run(story())


def test_what_was_on_its_way_when_the_link_of_a_session_broke_comes_again() -> None:
    numbers = [str(n).encode() for n in range(1000)]

    async def story() -> None:
        port = free_port()
        async with (
            asyncio.timeout(PATIENCE_S),
            EmbeddedBroker(port=port) as broker,
            Proxy(port) as proxy,
            open_transport(broker.uri.replace(str(port), str(proxy.port)), "reader") as reader,
            open_transport(broker.uri, "writer") as writer,
        ):
            await reader.subscribe("n")
            publishing = asyncio.gather(*(writer.publish("n", number) for number in numbers))
            missing = set(numbers)
            async for _, payload in reader:
                missing.discard(payload)
                if not missing:
                    break
                if len(missing) in (900, 500, 100):
                    proxy.cut()
            await publishing

    asyncio.run(story())


def test_it_does_not_chatter(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with EmbeddedBroker() as broker, open_transport(broker.uri, "") as transport:
            await transport.publish("t", b"x")

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())
    assert [record for record in caplog.records if record.name.startswith(("amqtt", "transitions"))] == []


def _password(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text)
    return path
