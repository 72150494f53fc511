# SPDX-License-Identifier: Apache-2.0
"""What ``e4 device run`` does until it is stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from e4cli.messages import fields, line
from e4cli.output import Output, Row, remark, show_event
from e4core.errors import StorageError, UnknownKey
from e4core.formats import AnyClient
from e4core.transport import Transport
from e4device.runtime import Device

_STDIN = 0
_CHUNK_LEN = 65_536


async def work(
    client: AnyClient, transport: Transport, hello_delay: float, topics: list[str], publish: str | None, output: Output
) -> None:
    """Connect, tell so, exchange messages, and tell what happened.

    Args: hello_delay: seconds.  topics: to print.  publish: where the lines of stdin go, if anywhere.
    """
    device = Device(client, transport, hello_delay_s=hello_delay)
    connected = False
    try:
        async with device:
            for topic in topics:
                await device.subscribe(topic)
            connected = True
            _tell(output, {"event": "connected", "id": client.state.client_id.hex()})
            await _exchange(device, publish, ends_with_input=not topics, output=output)
    finally:
        if connected:
            _tell(output, {"event": "stopped", **device.counters.snapshot()})


def _tell(output: Output, event: Row) -> None:
    """Where things stand: part of the stream for scripts, a remark for people."""
    if output is Output.JSON:
        show_event(output, event, "")
    else:
        remark(str(event["event"]))


async def _exchange(device: Device, publish: str | None, ends_with_input: bool, output: Output) -> None:
    printing = asyncio.ensure_future(_print_messages(device, output))
    work = [printing]
    if publish is not None:
        work.append(asyncio.ensure_future(_publish_lines(device, publish)))
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if publish is not None and not ends_with_input:
            await printing
    finally:
        for task in work:
            task.cancel()


async def _print_messages(device: Device, output: Output) -> None:
    async for topic, message in device.messages():
        show_event(output, {"event": "message", **fields(topic, message)}, line(topic, message))


async def _publish_lines(device: Device, topic: str) -> None:
    async for payload in _lines():
        await _publish(device, topic, payload)


async def _publish(device: Device, topic: str, payload: bytes) -> None:
    told = False
    while True:
        try:
            return await device.publish(topic, payload)
        except UnknownKey as error:
            if not told:
                remark(f"{error}; waiting for it")
            told = True
            await asyncio.sleep(1)


async def _lines() -> AsyncIterator[bytes]:
    """Lines of stdin without their ends, whether it is a pipe, a file or a terminal."""
    rest = b""
    while chunk := await _chunk():
        *lines, rest = (rest + chunk).split(b"\n")
        for complete in lines:
            yield complete
    if rest:
        yield rest


async def _chunk() -> bytes:
    try:
        await _readable()
        return os.read(_STDIN, _CHUNK_LEN)
    except OSError as error:
        raise StorageError(f"stdin cannot be read: {error.strerror}") from error


async def _readable() -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(_STDIN, ready.set)
    except PermissionError:
        return  # a plain file: epoll takes none, and a read of one does not wait
    try:
        await ready.wait()
    finally:
        loop.remove_reader(_STDIN)
