# SPDX-License-Identifier: Apache-2.0
"""A socket that reads ahead and writes in bulk: the same bytes in the same order, bounded, and none forgotten at the end."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from e4transports.bulk import BulkSocket

Pair = tuple[BulkSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    listener.close()
    bulk = BulkSocket(near)
    bulk.setblocking(False)
    with near, far:
        far.settimeout(10)
        yield bulk, far


def _read(far: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (more := far.recv(65536)):
        data += more
    return data


def test_many_small_writes_leave_together(pair: Pair) -> None:
    bulk, far = pair
    for number in range(100):
        assert bulk.send(bytes([number])) == 1
    assert bulk.waits()
    assert not select.select([far], [], [], 0.05)[0]
    bulk.flush()
    assert not bulk.waits()
    assert far.recv(200) == bytes(range(100))


def test_what_arrived_is_read_in_any_pieces(pair: Pair) -> None:
    bulk, far = pair
    far.sendall(b"abcdef")
    assert select.select([bulk], [], [], 10)[0]
    assert bulk.recv(1) == b"a"
    assert bulk.pending() == 5
    assert bulk.recv(3) == b"bcd"
    assert bulk.recv(100) == b"ef"
    assert bulk.pending() == 0
    with pytest.raises(BlockingIOError):
        bulk.recv(1)
    far.close()
    assert select.select([bulk], [], [], 10)[0]
    assert bulk.recv(1) == b""


def test_a_peer_that_does_not_read_holds_the_writer_back_and_loses_nothing(pair: Pair) -> None:
    bulk, far = pair
    data = os.urandom(32 * 1024 * 1024)
    sent = bulk.send(data)
    with pytest.raises(BlockingIOError):
        while True:
            sent += bulk.send(data[sent:])
    assert sent < len(data)
    received: list[bytes] = []
    reading = threading.Thread(target=lambda: received.append(_read(far, len(data))))
    reading.start()
    while sent < len(data) or bulk.waits():
        select.select([], [bulk], [], 10)
        try:
            sent += bulk.send(data[sent : sent + 1_000_000]) if sent < len(data) else 0
        except BlockingIOError:
            continue
        bulk.flush()
    reading.join()
    assert received == [data]


def test_closing_sends_what_waits(pair: Pair) -> None:
    bulk, far = pair
    bulk.send(b"goodbye")
    bulk.close()
    assert _read(far, 100) == b"goodbye"


def test_closing_does_not_wait_for_ever(pair: Pair) -> None:
    bulk, _far = pair
    with pytest.raises(BlockingIOError):
        while True:
            bulk.send(bytes(65536))
    bulk.close()
    assert bulk.fileno() == -1


def test_a_dead_link_shows_at_the_next_read(pair: Pair) -> None:
    bulk, far = pair
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    for _ in range(2):
        bulk.send(b"x")
        bulk.flush()
    assert not bulk.waits()
    try:
        seen = bulk.recv(1)
    except ConnectionError:
        seen = b""
    assert seen == b""
