# SPDX-License-Identifier: Apache-2.0
"""Commands that go on until they are told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def run_until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work``; SIGTERM and Ctrl-C cancel it, so that it closes in order: the first returns, the other raises.

    Raises: KeyboardInterrupt: Ctrl-C; what ``work`` raises.
    """
    asyncio.run(_guarded(work))


async def _guarded(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        await task
    except asyncio.CancelledError:
        if not terminated:
            raise
