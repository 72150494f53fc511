# SPDX-License-Identifier: Apache-2.0
"""Reports that wait for a broker to take them, in bounded number."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple

from e4core.obeying import Handled
from e4core.report import Outcome

REPORTS_KEPT = 64


class _Waiting(NamedTuple):
    report: bytes
    again: bool
    """It answers a command that was answered before; the next repetition makes it anew."""


class Reports:
    """In order. Of more than `REPORTS_KEPT` the oldest that can be made again goes, else the oldest.

    The C2 counts on none: what it is not told, it learns from the hello of the next connection.
    """

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, handled: Handled[Any]) -> None:
        for report in handled.reports:
            self._waiting.append(_Waiting(report, handled.outcome is Outcome.ALREADY))
            if len(self._waiting) > REPORTS_KEPT:
                del self._waiting[next((i for i, each in enumerate(self._waiting) if each.again), 0)]
        self._news.set()

    async def get(self) -> bytes:
        """The next one, as soon as there is one; for one reader."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft().report
