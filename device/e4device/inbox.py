# SPDX-License-Identifier: Apache-2.0
"""Messages that the application has not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple, Self

from e4core.message import Message


class Received(NamedTuple):
    topic: str
    message: Message


class Inbox(AsyncIterator[Received]):
    """A bounded queue in order of arrival. A cancelled read loses nothing; several readers share what there is."""

    def __init__(self, capacity: int) -> None:
        """Args: capacity: messages; when it is full, the oldest goes."""
        self._items: deque[Received] = deque()
        self._capacity = capacity
        self._news = asyncio.Event()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: Received) -> bool:
        """Whether all that waits could be kept."""
        full = len(self._items) >= self._capacity
        if full:
            self._items.popleft()
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

    async def __anext__(self) -> Received:
        while not self._items:
            if self._error:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()
