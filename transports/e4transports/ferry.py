# SPDX-License-Identifier: Apache-2.0
"""From another thread into the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_HEADWAY_S = 0.005


class Ferry:
    """Carries calls from one other thread to the event loop, in order: `load` any number, then `leave`.

    What is in no hurry waits up to `_HEADWAY_S` for more: each landing costs both threads a change of the interpreter's lock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._aboard: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._hurry = False
        self._planned = False

    def load(self, call: Callable[..., object], *arguments: Any, hurry: bool = True) -> None:
        self._aboard.append((call, arguments))
        self._hurry |= hurry

    def leave(self) -> None:
        if self._hurry:
            self._hurry = False
            self._cross(self._land)
        elif self._aboard and not self._planned:
            self._planned = True
            self._cross(self._plan)

    def _cross(self, step: Callable[[], None]) -> None:
        # a loop that is closed has nobody left to tell
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(step)

    def _plan(self) -> None:
        self._loop.call_later(_HEADWAY_S, self._land)

    def _land(self) -> None:
        self._planned = False
        while self._aboard:
            call, arguments = self._aboard.popleft()
            call(*arguments)
