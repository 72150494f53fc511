# SPDX-License-Identifier: Apache-2.0
"""The fastest way from Python to a broker: MQTT 3.1.1 by hand, ready-made packets, a wide window, and nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

WINDOW = 1000
_CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"
_PUBACK, _PUBREC, _PUBREL, _PUBCOMP = 0x40, 0x50, 0x62, 0x70
_ANSWER_LEN = 4
"""Bytes of all that a broker says here, CONNACK too."""


class Publisher(asyncio.Protocol):
    """Publishes once it is connected; ``done`` when the broker has acknowledged all."""

    def __init__(self, messages: Sequence[tuple[str, bytes]], qos: int) -> None:
        self._packets = [_publish(topic, payload, qos, number) for number, (topic, payload) in enumerate(messages, 1)]
        self._last = _PUBACK if qos == 1 else _PUBCOMP
        self._sent = self._acknowledged = 0
        self._rest = b""
        self.begun = 0.0
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_CONNECT)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        whole = len(data) - len(data) % _ANSWER_LEN
        self._rest, kinds = data[whole:], data[:whole:_ANSWER_LEN]
        self.begun = self.begun or time.perf_counter()
        if received := kinds.count(_PUBREC):
            numbers = [data[at : at + 4] for at in range(0, whole, _ANSWER_LEN) if data[at] == _PUBREC]
            assert len(numbers) == received
            self._transport.write(b"".join([b"\x62" + each[1:] for each in numbers]))
        self._acknowledged += kinds.count(self._last)
        if self._acknowledged == len(self._packets):
            self.done.set_result(time.perf_counter() - self.begun)
            return
        upto = min(len(self._packets), self._acknowledged + WINDOW)
        self._transport.write(b"".join(self._packets[self._sent : upto]))
        self._sent = upto


async def publish(port: int, messages: Sequence[tuple[str, bytes]], qos: int) -> float:
    """Seconds from the first message to the last acknowledgement."""
    loop = asyncio.get_running_loop()
    transport, publisher = await loop.create_connection(lambda: Publisher(messages, qos), "127.0.0.1", port)
    try:
        return await publisher.done
    finally:
        transport.close()


def _publish(topic: str, payload: bytes, qos: int, number: int) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic.encode() + number.to_bytes(2, "big") + payload
    return bytes([0x30 | qos << 1]) + _length(len(body)) + body


def _length(of: int) -> bytes:
    out = bytearray()
    while True:
        of, low = divmod(of, 128)
        out.append(low | (128 if of else 0))
        if not of:
            return bytes(out)
