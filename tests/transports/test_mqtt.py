# SPDX-License-Identifier: Apache-2.0
"""MQTT over links that break, at a real broker that stops, limits and refuses."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from amqtt.broker import Broker

from e4core.errors import StorageError, TransportError
from e4core.transport import Incoming, Transport
from e4transports.broker import Admitted
from e4transports.mqtt import open_transport
from tests.servers import Mosquitto, StartMosquitto, free_port
from tests.transports.conftest import PATIENCE_S, Connect, nothing_else, real, receive
from tests.transports.proxy import Proxy

NUMBERS = [str(n).encode().rjust(73) for n in range(1000)]
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])


@pytest.mark.parametrize("qos", [1, 2])
@VERSIONS
def test_what_is_published_while_the_broker_is_down_arrives_in_order(
    mosquitto: Mosquitto, version: str, qos: int
) -> None:
    async def story(connect: Connect) -> None:
        async with _open(mosquitto.uri, version, "reader") as reader, _open(mosquitto.uri, version, "writer") as writer:
            await reader.subscribe("n")
            await asyncio.to_thread(mosquitto.stop)
            publishing = asyncio.gather(*(writer.publish("n", number, qos) for number in NUMBERS))
            await _until(lambda: not writer.connected)
            assert not publishing.done()
            await asyncio.to_thread(mosquitto.start)
            arrived = [payload for _, payload in await receive(reader, len(NUMBERS))]
            await publishing
            assert arrived == NUMBERS
            await nothing_else(reader, writer, "n")

    real(mosquitto, version).tell(story)


@VERSIONS
def test_subscriptions_come_back_at_a_broker_that_forgot_them(mosquitto: Mosquitto, version: str) -> None:
    async def story(connect: Connect) -> None:
        async with _open(mosquitto.uri, version, "reader") as reader:
            await reader.subscribe("a/+")
            await reader.subscribe("b")
            await reader.subscribe("c")
            await reader.unsubscribe("c")
            await asyncio.to_thread(mosquitto.kill)
            await _until(lambda: not reader.connected)
            subscribing = asyncio.create_task(reader.subscribe("d"))
            unsubscribing = asyncio.create_task(reader.unsubscribe("b"))
            publishing = [asyncio.ensure_future(reader.publish(topic, b"x")) for topic in ("a/1", "b", "c", "d")]
            await asyncio.to_thread(mosquitto.start)
            await asyncio.gather(subscribing, unsubscribing, *publishing)
            assert [topic for topic, _ in await receive(reader, 2)] == ["a/1", "d"]
            await nothing_else(reader, reader, "a/1")

    real(mosquitto, version).tell(story)


@pytest.mark.parametrize("qos", [0, 1])
def test_a_publish_waits_while_the_link_is_down(mosquitto: Mosquitto, qos: int) -> None:
    async def story(connect: Connect) -> None:
        async with _open(mosquitto.uri, "5", "") as both:
            await both.subscribe("t")
            await asyncio.to_thread(mosquitto.stop)
            await _until(lambda: not both.connected)
            publishing = asyncio.ensure_future(both.publish("t", b"x", qos))
            await asyncio.to_thread(mosquitto.start)
            await publishing
            assert await receive(both, 1) == [Incoming("t", b"x")]

    real(mosquitto, "5").tell(story)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_closing_fails_what_is_outstanding(mosquitto: Mosquitto, qos: int) -> None:
    async def story(connect: Connect) -> None:
        async with _open(mosquitto.uri, "5", "writer") as writer:
            await asyncio.to_thread(mosquitto.stop)
            await _until(lambda: not writer.connected)
            waiting = [
                *(asyncio.ensure_future(writer.publish("t", b"x", qos)) for _ in range(30)),
                asyncio.create_task(writer.subscribe("t")),
                asyncio.create_task(writer.unsubscribe("u")),
            ]
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [TransportError] * len(waiting)

    real(mosquitto, "5").tell(story)


def test_closing_does_not_wait_for_a_broker_that_hangs(mosquitto: Mosquitto) -> None:
    async def story(connect: Connect) -> None:
        async with _open(mosquitto.uri, "5", "writer") as writer:
            await asyncio.to_thread(mosquitto.pause)
            publishing = [asyncio.ensure_future(writer.publish("t", bytes(1_000_000))) for _ in range(30)]
            await asyncio.sleep(0.1)
        outcomes = await asyncio.gather(*publishing, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {TransportError}

    real(mosquitto, "5").tell(story)


def test_a_publish_that_is_given_up_before_it_left_is_not_sent(mosquitto: Mosquitto) -> None:
    async def story(connect: Connect) -> None:
        async with _open(mosquitto.uri, "5", "") as both:
            await both.subscribe("t")
            await asyncio.to_thread(mosquitto.stop)
            await _until(lambda: not both.connected)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(both.publish("t", b"given up"), 0.01)
            publishing = asyncio.ensure_future(both.publish("t", b"kept"))
            await asyncio.to_thread(mosquitto.start)
            await publishing
            assert await receive(both, 1) == [Incoming("t", b"kept")]

    real(mosquitto, "5").tell(story)


@pytest.mark.parametrize("cut_reader", [False, True])
@pytest.mark.parametrize(("version", "writer_id"), [("5", "writer"), ("5", ""), ("3.1.1", "writer")])
def test_1000_messages_at_qos_2_arrive_exactly_once_and_in_order_over_a_link_that_keeps_breaking(
    mosquitto: Mosquitto, version: str, writer_id: str, cut_reader: bool
) -> None:
    async def story(connect: Connect) -> None:
        async with (
            Proxy(mosquitto.port, cut_after=30_000) as at_writer,
            Proxy(mosquitto.port) as at_reader,
            _open(f"mqtt://127.0.0.1:{at_reader.port}", version, "reader") as reader,
            _open(f"mqtt://127.0.0.1:{at_writer.port}", version, writer_id) as writer,
        ):
            await reader.subscribe("n")
            publishing = asyncio.gather(*(writer.publish("n", number, 2) for number in NUMBERS))
            arrived: list[bytes] = []
            for _ in range(10):
                arrived += [payload for _, payload in await receive(reader, len(NUMBERS) // 10)]
                if cut_reader:
                    # by count and not by length: mosquitto sends all that waits at once, and a short-lived link never got through
                    at_reader.cut()
            assert arrived == NUMBERS
            await publishing
            assert at_writer.cuts >= 3
            async with _open(mosquitto.uri, version, "") as control:
                await nothing_else(reader, control, "n")

    real(mosquitto, version).tell(story)


@pytest.mark.parametrize("garbage", [b"\x20\x00", b"\x90\x00", b"\x31\x03\x00\x01\xff", b"\x00\x00", b"\xff" * 8])
@VERSIONS
def test_a_malformed_packet_costs_the_connection_and_no_more(
    mosquitto: Mosquitto, version: str, garbage: bytes
) -> None:
    async def story(connect: Connect) -> None:
        async with Proxy(mosquitto.port) as proxy, _open(f"mqtt://127.0.0.1:{proxy.port}", version, "both") as both:
            await both.subscribe("t")
            proxy.inject(garbage)
            await both.publish("t", b"still alive", 2)
            arrivals = aiter(both)
            while await anext(arrivals) != Incoming("t", b"still alive"):
                pass

    real(mosquitto, version).tell(story)


def test_a_topic_that_is_not_utf_8_is_dropped(mosquitto: Mosquitto) -> None:
    async def story(connect: Connect) -> None:
        async with Proxy(mosquitto.port) as proxy, _open(f"mqtt://127.0.0.1:{proxy.port}", "3.1.1", "both") as both:
            await both.subscribe("t")
            proxy.inject(b"\x30\x04\x00\x01\xffx")
            await nothing_else(both, both, "t")

    real(mosquitto, "3.1.1").tell(story)


def test_the_limits_of_the_broker_are_kept(start_mosquitto: StartMosquitto) -> None:
    server = start_mosquitto(options=("max_qos 1", "max_packet_size 1000", "max_inflight_messages 3"))

    async def story(connect: Connect) -> None:
        async with _open(server.uri, "5", "") as both:
            assert both.max_qos == 1
            await both.subscribe("t")
            await asyncio.gather(*(both.publish("t", number, 2) for number in NUMBERS))
            assert [payload for _, payload in await receive(both, len(NUMBERS))] == NUMBERS
            with pytest.raises(TransportError, match="1000"):
                await both.publish("t", bytes(1001))
            assert both.connected

    real(server, "5").tell(story)


def test_a_message_that_the_broker_does_not_allow_is_an_error(start_mosquitto: StartMosquitto, tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write mine\n")
    server = start_mosquitto(options=(f"acl_file {acl}",))

    async def story(connect: Connect) -> None:
        async with _open(server.uri, "5", "") as transport:
            await transport.publish("mine", b"")
            with pytest.raises(TransportError, match="Not authorized"):
                await transport.publish("theirs", b"")

    real(server, "5").tell(story)


def test_a_subscription_that_the_broker_does_not_allow_is_an_error() -> None:
    # mosquitto 2.0 agrees to every subscription, and then delivers nothing
    async def story() -> None:
        port = free_port()
        plugins: dict[str, object] = {
            f"{Admitted.__module__}.Admitted": {},
            "amqtt.plugins.topic_checking.TopicTabooPlugin": {},
        }
        broker = Broker({"listeners": {"default": {"bind": f"127.0.0.1:{port}"}}, "plugins": plugins})
        await broker.start()
        async with _open(f"mqtt://127.0.0.1:{port}", "3.1.1", "") as transport:
            with pytest.raises(TransportError, match="refused 'prohibited'"):
                await transport.subscribe("prohibited")
            await transport.subscribe("allowed")
        await broker.shutdown()

    asyncio.run(story())


@VERSIONS
def test_a_wrong_password_is_refused(start_mosquitto: StartMosquitto, tmp_path: Path, version: str) -> None:
    server = start_mosquitto(users={"alice": "right"})
    password = tmp_path / "password"
    password.touch(0o600)

    async def story(connect: Connect) -> None:
        uri = f"{server.uri.replace('//', '//alice@')}?version={version}&password-file={password}"
        password.write_text("wrong")
        with pytest.raises(TransportError, match="password-file"):
            await _visit(open_transport(uri, ""))
        password.write_text("right\n")
        await _visit(open_transport(uri, ""))
        with pytest.raises(TransportError, match="refused"):
            await _visit(open_transport(f"{server.uri}?version={version}", ""))
        password.chmod(0o644)
        with pytest.raises(StorageError, match="chmod"):
            await _visit(open_transport(uri, ""))

    real(server, version).tell(story)


def test_an_address_where_nothing_listens_is_said_at_once() -> None:
    with pytest.raises(TransportError, match="nothing listens there"):
        asyncio.run(_visit(open_transport(f"mqtt://127.0.0.1:{free_port()}", "")))


def test_an_unknown_host_is_said() -> None:
    with pytest.raises(TransportError, match="host name"):
        asyncio.run(_visit(open_transport("mqtt://no-such-host.invalid", "")))


def test_a_server_that_stays_silent_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(TransportError, match="in time"):
        asyncio.run(_visit(open_transport(f"mqtt://127.0.0.1:{server.getsockname()[1]}?timeout=0.2", "")))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x02\x00\x01", b"\x20\x00"])
def test_a_server_that_does_not_speak_this_mqtt_is_said(answer: bytes) -> None:
    async def visit() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await _visit(open_transport(f"mqtt://127.0.0.1:{port}?timeout=5", ""))

    with pytest.raises(TransportError, match="version"):
        asyncio.run(visit())


def _open(uri: str, version: str, client_id: str) -> Transport:
    return open_transport(f"{uri}?version={version}", client_id)


async def _visit(transport: Transport) -> None:
    async with transport:
        await transport.publish("t", b"")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # a property of a transport, not an event
            await asyncio.sleep(0.01)
