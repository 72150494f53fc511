# SPDX-License-Identifier: Apache-2.0
"""The parts of a C2 at work beside each other: all of them, or none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING

from e4c2.api.listener import Listener
from e4c2.delivery import Courier
from e4c2.events.feed import Feed

if TYPE_CHECKING:
    from e4c2.grpc.server import Server


async def run(
    listeners: Sequence[tuple[Listener, socket.socket]],
    rpc: Server | None,
    feed: Feed,
    courier: Courier,
    work: Iterable[Coroutine[None, None, None]],
) -> None:
    """Until cancelled, or one of them ends; cancelled again it waits neither for running requests nor for the broker."""
    serving = [asyncio.create_task(server.serve([bound])) for server, bound in listeners]
    tasks = [*serving, *map(asyncio.create_task, work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            _ended(task)
    finally:
        feed.close()
        for server, _ in listeners:
            server.stop()
        ends = [*serving, *([asyncio.create_task(rpc.stop())] if rpc else [])]
        try:
            await asyncio.wait(ends)
            if not any(task.done() for task in tasks[len(serving) :]):
                await courier.drain()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _ended(task: asyncio.Task[None]) -> None:
    """Raise why; of several causes the first, as they follow from it."""
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    raise error or RuntimeError("a part of the C2 ended for no reason")
