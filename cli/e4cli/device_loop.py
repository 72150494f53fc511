# SPDX-License-Identifier: Apache-2.0
"""What ``e4 device run`` does until it is stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress

from e4cli.messages import fields, line
from e4cli.output import Row, Stream, remark, show_event
from e4core.errors import ClockUnset, KmsUnavailable, StorageError, UnknownKey
from e4device.runtime import Device

_STDIN = 0
_CHUNK_LEN = 65_536


async def work(
    device: Device,
    id_: str,
    topics: list[str],
    publish: str | None,
    output: Stream,
    mark_synchronised: Callable[[], None],
    *,
    waits_for_time: bool,
) -> None:
    """Connect, tell so, exchange messages, and tell what happened.

    Args: topics: to print.  publish: where the lines of stdin go, if anywhere.  mark_synchronised: called when the C2 has answered.
    """

    async def follow() -> None:
        await device.wait_synchronised()
        with suppress(StorageError):  # the device does without whoever looks at it
            mark_synchronised()
        if waits_for_time:
            _tell(output, {"event": "synchronised"})

    connected = False
    try:
        async with device:
            for topic in topics:
                await device.subscribe(topic)
            connected = True
            _tell(output, {"event": "connected", "id": id_})
            if waits_for_time:
                remark("not synchronised; waiting for the time from the C2")
            await _exchange(device, follow(), publish, ends_with_input=not topics, output=output)
    finally:
        if connected:
            _tell(output, {"event": "stopped", **device.counters.snapshot()})


def _tell(output: Stream, event: Row) -> None:
    """Where things stand: part of the stream for scripts, a remark for people."""
    if output is Stream.JSON:
        show_event(output, event, "")
    else:
        remark(str(event["event"]))


async def _exchange(
    device: Device, follow: Coroutine[None, None, None], publish: str | None, ends_with_input: bool, output: Stream
) -> None:
    printing = asyncio.ensure_future(_print_messages(device, output))
    work = {printing}
    if publish is not None:
        work.add(asyncio.ensure_future(_publish_lines(device, publish)))
    running = {*work, asyncio.ensure_future(follow)}
    try:
        while work <= running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        if publish is not None and not ends_with_input:
            await printing
    finally:
        for task in (*work, *running):
            task.cancel()


async def _print_messages(device: Device, output: Stream) -> None:
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
        except (UnknownKey, KmsUnavailable) as error:  # in a moment it may be there: the key, or the token that signs
            if not told:
                remark(f"{error}; waiting for it")
            told = True
            await asyncio.sleep(1)
        except ClockUnset:
            await device.wait_synchronised()


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
