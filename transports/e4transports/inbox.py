# SPDX-License-Identifier: Apache-2.0
"""What has arrived on one connection and was not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Self

from e4core.transport import Incoming


class Inbox(AsyncIterator[Incoming]):
    """An endless queue in order of arrival; its iterator ends when it is closed and read out.

    A cancelled read loses nothing, so that ``asyncio.wait_for(anext(inbox), 1)`` may be repeated.
    """

    def __init__(self) -> None:
        self._items: deque[Incoming] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def put(self, item: Incoming) -> None:
        self._items.append(item)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Incoming:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()
