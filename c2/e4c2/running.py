# SPDX-License-Identifier: Apache-2.0
"""The parts of a C2 at work beside each other: all of them, or none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from typing import TYPE_CHECKING

from e4c2.api.listener import Listener
from e4c2.events.feed import Feed

if TYPE_CHECKING:
    from e4c2.grpc.server import Server


async def run(
    server: Listener, bound: socket.socket, rpc: Server | None, feed: Feed, *work: Coroutine[None, None, None]
) -> None:
    """Until cancelled, or one of them ends; cancelled again it does not wait for running requests."""
    serving = asyncio.create_task(server.serve([bound]))
    tasks = [serving, *map(asyncio.create_task, work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            _ended(task)
    finally:
        feed.close()
        server.stop()
        ends = [serving, *([asyncio.create_task(rpc.stop())] if rpc else [])]
        try:
            await asyncio.wait(ends)
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
