# SPDX-License-Identifier: Apache-2.0
"""The embedded broker: what strangers send it first, and what those who know the password send after their CONNECT."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from e4transports.broker import EmbeddedBroker
from fuzz.target import Check, Target, must

_PASSWORD = b"a password"
_ENDS_WITHIN_S = 5.0


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _packet(kind: int, body: bytes) -> bytes:
    """Args: body: of less than 128 bytes."""
    return bytes([kind, len(body)]) + body


def _connect(password: bytes, client_id: bytes = b"", flags: int = 0xC2) -> bytes:
    variable = _string(b"MQTT") + b"\x04" + bytes([flags]) + b"\0\x3c"
    return _packet(0x10, variable + _string(client_id) + _string(b"e4") + _string(password))


_ACCEPTED = b"\x20\x02\x00\x00", b"\x20\x02\x01\x00"


@contextmanager
def _broker() -> Iterator[Check]:
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        password = Path(folder) / "password"
        password.write_bytes(_PASSWORD)
        password.chmod(0o600)
        broker = EmbeddedBroker(password)
        runner.run(broker.__aenter__())
        port = urlsplit(broker.uri).port or 0

        def check(data: bytes) -> None:
            answer = runner.run(_answer(port, data))
            must(_PASSWORD in data or not answer.startswith(_ACCEPTED), "somebody came in without the password")
            admitted = runner.run(_answer(port, _connect(_PASSWORD) + data))
            must(admitted.startswith(_ACCEPTED), "somebody with the password was not let in")

        try:
            yield check
        finally:
            runner.run(broker.__aexit__(None, None, None))


async def _answer(port: int, data: bytes) -> bytes:
    """All that the broker says to ``data``, until it ends the connection."""
    async with asyncio.timeout(_ENDS_WITHIN_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            writer.write_eof()
            return await reader.read(4) + await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


_SEEDS = (
    _connect(_PASSWORD),
    _connect(_PASSWORD, b"client", 0xC0),
    _connect(b"wrong"),
    _packet(0x82, b"\0\1" + _string(b"a/+") + b"\1")
    + _packet(0x32, _string(b"a/b") + b"\0\2payload")
    + _packet(0xC0, b""),
    _packet(0x30, _string(b"t") + b"x") + _packet(0xA2, b"\0\3" + _string(b"a/+")) + _packet(0xE0, b""),
    _packet(0x40, b"\0\1") + _packet(0x50, b"\0\1") + _packet(0x62, b"\0\1") + _packet(0x70, b"\0\1"),
    b"\x10\xff\xff\xff\x7f",
    b"GET / HTTP/1.1\r\n\r\n",
)
_WORDS = (
    _string(b"MQTT") + b"\x04",
    b"\x10",
    b"\x30",
    b"\x32",
    b"\x82",
    b"\xc0\0",
    b"\xe0\0",
    b"\xff\xff\xff\x7f",
    b"\0\1",
)

TARGETS = {"broker": Target(_broker, lambda: _SEEDS, _WORDS)}
