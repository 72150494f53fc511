# SPDX-License-Identifier: Apache-2.0
"""Who has no token cannot hold what others need: each wait for the other end has a limit, and so has the number of connections."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from e4c2.api.connection import CONNECTIONS_MAX, Door, Limits
from e4c2.api.listener import Listener, bind
from e4c2.app import LOOPBACK
from tests.c2.served import PATIENCE_S

LONG = 16 * 1024 * 1024
"""Bytes; more than any buffer between the ends takes."""
SHORT = 60_000
"""Bytes; not so many that a server would wait with the next, more than sockets take whose buffers are as small as here."""
BUFFER = 2048
NEVER_S = 3600.0
REQUEST = b"GET / HTTP/1.1\r\nHost: c2\r\n\r\n"
BEGUN = b"GET / HTTP/1.1\r\nX:"

Story = Callable[[Listener, int], Awaitable[None]]


def answering(length: int, wait_s: float = 0, parts: int = 1) -> ASGIApp:
    """An application whose answers are so many parts of ``length`` bytes, each after a while; it reads no body."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", str(length * parts).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in reversed(range(parts)):
            await asyncio.sleep(wait_s)
            await send({"type": "http.response.body", "body": b"x" * length, "more_body": left > 0})

    return app


def told(app: ASGIApp, limits: Limits, story: Story, most: int = 10, tls: ssl.SSLContext | None = None) -> None:
    """Run ``story`` with a listener and its port."""

    async def run() -> None:
        listening = asyncio.Event()
        with closing(Door(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, most)) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            door.bind(("127.0.0.1", 0))
            listener = Listener(app, tls, listening.set, limits)
            task = asyncio.create_task(listener.serve([door]))
            await listening.wait()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await story(listener, door.getsockname()[1])
            finally:
                listener.stop()
                await task

    asyncio.run(run())


async def connected(port: int) -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made


async def is_over(connection: socket.socket) -> bool:
    """Whether the other end broke off; waits for that, or for an answer."""
    try:
        return await asyncio.get_running_loop().sock_recv(connection, 65536) == b""
    except ConnectionError:
        return True


async def until(is_so: Callable[[], bool]) -> None:
    while True:
        if is_so():
            return
        await asyncio.sleep(0.01)


async def trickle(connection: socket.socket, part: bytes = b"x") -> None:
    """Send a bit now and then, until the other end breaks off."""
    with suppress(ConnectionError):
        while True:
            await asyncio.get_running_loop().sock_sendall(connection, part)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("sent", [b"", b"G", BEGUN], ids=["nothing", "a letter", "half a head"])
def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes) -> None:
    async def story(_listener: Listener, port: int) -> None:
        with closing(await connected(port)) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, sent)
            assert await is_over(connection)

    told(answering(1), Limits(head_s=0.1, answer_s=NEVER_S), story)


def test_a_head_that_comes_bit_by_bit_is_not_waited_for() -> None:
    async def story(_listener: Listener, port: int) -> None:
        with closing(await connected(port)) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, BEGUN)
            await trickle(connection)

    told(answering(1), Limits(head_s=0.1, answer_s=NEVER_S), story)


@pytest.mark.parametrize(
    "request_",
    [REQUEST + BEGUN, b"POST / HTTP/1.1\r\nHost: c2\r\nContent-Length: 1000000\r\n\r\n"],
    ids=["half a head", "half a body"],
)
def test_what_follows_an_answer_bit_by_bit_is_not_waited_for(request_: bytes) -> None:
    async def story(_listener: Listener, port: int) -> None:
        with closing(await connected(port)) as connection:
            await asyncio.get_running_loop().sock_sendall(connection, request_)
            assert not await is_over(connection), "the first request is answered"
            await trickle(connection)

    told(answering(1), Limits(head_s=NEVER_S, answer_s=0.1), story)


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"], ids=["kept", "closing"])
@pytest.mark.parametrize("again", [1, 2], ids=["one request", "two"])
@pytest.mark.parametrize(("length", "parts"), [(LONG, 1), (LONG, 2), (SHORT, 1)], ids=["long", "in parts", "short"])
def test_an_answer_that_is_not_taken_is_not_kept(length: int, parts: int, close: bytes, again: int) -> None:
    async def story(listener: Listener, port: int) -> None:
        with closing(await connected(port)) as connection:
            request = REQUEST.replace(b"\r\n\r\n", b"\r\n" + close + b"\r\n")
            await asyncio.get_running_loop().sock_sendall(connection, request * again)
            await until(lambda: len(listener.server_state.connections) == 1)
            await until(lambda: not listener.server_state.connections)

    told(answering(length, parts=parts), Limits(head_s=NEVER_S, answer_s=0.1), story)


def test_a_body_that_goes_on_does_not_keep_an_answer_that_is_not_taken() -> None:
    async def story(_listener: Listener, port: int) -> None:
        with closing(await connected(port)) as connection:
            body = b"POST / HTTP/1.1\r\nHost: c2\r\nContent-Length: 1000000\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(connection, REQUEST + body)
            await trickle(connection)

    told(answering(LONG), Limits(head_s=NEVER_S, answer_s=0.1), story)


def test_a_request_that_is_worked_on_is_not_broken_off() -> None:
    async def story(_listener: Listener, port: int) -> None:
        with closing(await connected(port)) as connection:
            for _ in range(2):
                await asyncio.get_running_loop().sock_sendall(connection, REQUEST)
                assert not await is_over(connection)

    told(answering(1, wait_s=0.3), Limits(head_s=0.1, answer_s=0.1), story)


@pytest.mark.parametrize("parts", [1, 2])
def test_an_answer_that_is_taken_is_whole(parts: int) -> None:
    async def story(_listener: Listener, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with closing(writer):
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            assert len(await reader.readexactly(2 * SHORT * parts)) == 2 * SHORT * parts

    told(answering(2 * SHORT, wait_s=0.8, parts=parts), Limits(head_s=NEVER_S, answer_s=0.5), story)


def test_a_handshake_that_does_not_come_is_not_waited_for() -> None:
    async def story(_listener: Listener, port: int) -> None:
        with closing(await connected(port)) as connection:
            assert await is_over(connection)

    told(answering(1), Limits(head_s=0.1), story, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


@pytest.mark.parametrize("tls", [False, True])
def test_more_connections_than_there_is_room_for_are_turned_away_until_one_is_closed(
    tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(_listener: Listener, port: int) -> None:
        first, second = [await connected(port) for _ in range(2)]
        for _ in range(3):
            with closing(await connected(port)) as third:
                assert await is_over(third)
        first.close()
        # with TLS as well, only that this request would be no handshake
        while not tls:
            with closing(await connected(port)) as third:
                await asyncio.get_running_loop().sock_sendall(third, REQUEST)
                if not await is_over(third):
                    break
        second.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
    with caplog.at_level(logging.WARNING, "e4c2"):
        told(answering(1), Limits(head_s=NEVER_S), story, most=2, tls=context)
    assert [each.getMessage() for each in caplog.records if each.name.startswith("e4c2")][:1] == [
        "the API has 2 connections open, and turns others away until one is closed"
    ]


@contextmanager
def open_files(most: int) -> Iterator[None]:
    """This process may have so many files open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("files", [100, 300])
def test_connections_leave_half_of_all_files_to_the_rest_of_the_c2(files: int) -> None:
    assert files // 2 < CONNECTIONS_MAX
    with open_files(files):
        door = bind(LOOPBACK, 0)
    with ExitStack() as stack:
        stack.enter_context(closing(door)).listen(files)
        for _ in range(files // 2):
            stack.enter_context(closing(socket.create_connection(door.getsockname())))
            stack.enter_context(closing(door.accept()[0]))
        stack.enter_context(closing(socket.create_connection(door.getsockname())))
        with pytest.raises(ConnectionAbortedError):
            door.accept()
