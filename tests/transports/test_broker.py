# SPDX-License-Identifier: Apache-2.0
"""The embedded broker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

import pytest

from e4core.errors import InvalidInput, StorageError, TransportError
from e4core.transport import Incoming
from e4transports.broker import EmbeddedBroker
from e4transports.mqtt import open_transport
from tests.servers import free_port
from tests.transports.conftest import PATIENCE_S, password_file, receive
from tests.transports.proxy import Proxy

REFUSED = b"\x20\x02\x00\x05"
"""A CONNACK of MQTT 3.1.1: not authorized."""
OTHER_VERSION = b"\x20\x02\x00\x01"


def test_its_uri_says_all_that_a_client_needs_and_no_password(password: Path) -> None:
    async def story() -> str:
        port = free_port()
        async with EmbeddedBroker(password, port=port) as broker:
            file = str(password).replace(" ", "%20")
            assert broker.uri == f"mqtt://e4@127.0.0.1:{port}?version=3.1.1&qos=1&password-file={file}"
        async with EmbeddedBroker(password, "::1") as broker, open_transport(broker.uri, "") as both:
            await both.subscribe("t")
            await both.publish("t", b"x")
            assert await receive(both, 1) == [Incoming("t", b"x")]
            return broker.uri

    assert asyncio.run(story()).startswith("mqtt://e4@[::1]:")


def test_a_relative_password_file_is_found_from_everywhere(password: Path) -> None:
    with contextlib.chdir(password.parent):
        assert EmbeddedBroker(Path(password.name)).uri == EmbeddedBroker(password).uri


def test_it_lets_in_those_who_know_the_password(password: Path, tmp_path: Path) -> None:
    wrong = password_file(tmp_path / "wrong", "wrong")

    async def story() -> None:
        async with EmbeddedBroker(password) as broker:
            async with open_transport(broker.uri, "") as transport:
                await transport.publish("t", b"x")
            others = [
                broker.uri.replace("a%20password", "wrong"),
                broker.uri.replace("e4@", "root@"),
                broker.uri.partition("&password")[0],
                broker.uri.partition("&password")[0].replace("e4@", ""),
            ]
            assert str(wrong) in others[0]
            for uri in others:
                with pytest.raises(TransportError, match="refused"):
                    await open_transport(uri, "").__aenter__()

    asyncio.run(story())


@pytest.mark.parametrize("flags", [0x00, 0x02])
def test_who_does_not_know_the_password_ends_nobodys_session(password: Path, flags: int) -> None:
    """amqtt by itself ends or takes over a session before it looks at the password."""

    async def story() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            EmbeddedBroker(password) as broker,
            open_transport(broker.uri, "reader") as reader,
            open_transport(broker.uri, "writer") as writer,
        ):
            await reader.subscribe("t")
            assert await said(broker, connect("reader", flags)) == REFUSED
            assert await said(broker, connect("reader", flags | 0xC0, "e4", "wrong")) == REFUSED
            await writer.publish("t", b"x")
            assert await receive(reader, 1) == [Incoming("t", b"x")]
            assert set(broker._broker.sessions) == {"reader", "writer"}

    asyncio.run(story())


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"\x10",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x10\xff\xff\xff\x7f",
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\x00",
        b"\x10\x02\x00\x04",
        b"\xc0\x00",
        b"\x30\x03\x00\x01t",
    ],
)
def test_what_is_no_connect_is_not_answered_and_harms_nobody(password: Path, opening: bytes) -> None:
    async def story() -> None:
        async with (
            asyncio.timeout(PATIENCE_S),
            EmbeddedBroker(password) as broker,
            open_transport(broker.uri, "") as transport,
        ):
            assert await said(broker, opening) in (b"", REFUSED, OTHER_VERSION)
            await transport.publish("t", b"x")
            assert len(broker._broker.sessions) == 1

    asyncio.run(story())


def test_another_version_of_mqtt_is_told_so(password: Path) -> None:
    async def story() -> None:
        async with EmbeddedBroker(password) as broker:
            assert await said(broker, connect("a", 0xC2, "e4", "right", level=5)) == OTHER_VERSION

    asyncio.run(story())


def connect(client_id: str, flags: int, *more: str, level: int = 4) -> bytes:
    """A CONNECT of MQTT 3.1.1."""
    strings = b"".join(len(text).to_bytes(2, "big") + text.encode() for text in (client_id, *more))
    body = b"\x00\x04MQTT" + bytes([level, flags, 0, 60]) + strings
    return bytes([0x10, len(body)]) + body


async def said(broker: EmbeddedBroker, opening: bytes) -> bytes:
    """All that the broker says to ``opening`` before it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", broker._port)
    writer.write(opening)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


def test_a_bad_password_file_is_said_before_it_listens(tmp_path: Path) -> None:
    async def story() -> None:
        async with EmbeddedBroker(tmp_path / "missing"):
            pass

    with pytest.raises(StorageError, match="missing"):
        asyncio.run(story())


@pytest.mark.parametrize("host", ["localhost", "", "127.0.0.1:1883"])
def test_it_listens_at_an_ip_address_only(password: Path, host: str) -> None:
    with pytest.raises(InvalidInput):
        EmbeddedBroker(password, host)


def test_a_port_in_use_is_said(password: Path) -> None:
    async def story(port: int) -> None:
        async with EmbeddedBroker(password, port=port):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(TransportError, match="in use"):
        asyncio.run(story(taken.getsockname()[1]))


def test_it_ends_while_clients_are_connected_and_begins_again_at_the_same_port(password: Path) -> None:
    async def story() -> None:
        broker = EmbeddedBroker(password, port=free_port())
        async with broker:
            transport = await open_transport(broker.uri, "both").__aenter__()
            await transport.subscribe("t")
        publishing = asyncio.ensure_future(transport.publish("t", b"kept"))
        async with broker:
            await publishing
            assert await receive(transport, 1) == [Incoming("t", b"kept")]
            await transport.__aexit__(None, None, None)

    asyncio.run(story())


def test_what_was_on_its_way_when_the_link_of_a_session_broke_comes_again(password: Path) -> None:
    numbers = [str(n).encode() for n in range(1000)]

    async def story() -> None:
        port = free_port()
        async with (
            asyncio.timeout(PATIENCE_S),
            EmbeddedBroker(password, port=port) as broker,
            Proxy(port) as proxy,
            open_transport(broker.uri.replace(str(port), str(proxy.port), 1), "reader") as reader,
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


def test_it_does_not_chatter(password: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with EmbeddedBroker(password) as broker, open_transport(broker.uri, "") as transport:
            await transport.publish("t", b"x")

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())
    assert [record for record in caplog.records if record.name.startswith(("amqtt", "transitions"))] == []
