# SPDX-License-Identifier: Apache-2.0
"""What has arrived and was not read yet; the core itself has none, transports and devices do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Inbox(AsyncIterator[T], Generic[T]):
    """A queue in order of arrival; its iterator ends when it is closed and read out.

    A cancelled read loses nothing, so that ``asyncio.wait_for(anext(inbox), 1)`` may be repeated; several readers share what
    there is.
    """

    def __init__(self, capacity: int | None = None) -> None:
        """Args: capacity: items; when it is full, the oldest goes. None: endless."""
        self._items: deque[T] = deque(maxlen=capacity)
        self._news = asyncio.Event()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Whether all that waits could be kept."""
        full = len(self._items) == self._items.maxlen
        self._items.append(item)
        self._news.set()
        return not full

    def close(self, error: BaseException | None = None) -> None:
        """End, for every reader, after what is still here; the first call counts. Args: error: why, if not on purpose."""
        if not self._closed:
            self._closed, self._error = True, error
            self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._error:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()
