# SPDX-License-Identifier: Apache-2.0
"""The benchmarks measure what they say."""

from __future__ import annotations

import asyncio
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def bench() -> Iterator[Path]:
    """Modules there find each other, as in a run."""
    sys.path.insert(0, str(BENCH))
    try:
        yield BENCH
    finally:
        sys.path.remove(str(BENCH))


def test_a_figure_is_the_best_of_seven_of_each_in_turns(bench: Path) -> None:
    turns: list[str] = []

    def measuring(name: str, seconds: float) -> Any:
        def run() -> float:
            turns.append(name)
            return seconds - 0.1 * len(turns)

        return run

    figure = runpy.run_path(str(bench / "timing.py"))["compare"](measuring("ours", 8.0), measuring("floor", 4.0))
    assert turns == ["ours", "floor"] * 7
    assert figure == {"ours": pytest.approx(6.7), "floor": pytest.approx(2.6), "ratio": 2.577}


def test_only_what_the_broker_took_counts_as_acknowledged(bench: Path) -> None:
    class Link:
        """Its first message is lost, its second given up, the others are taken."""

        subscribe = unsubscribe = None
        max_qos = 2

        def __init__(self) -> None:
            self.sent = 0

        def publish(self, *_message: object) -> asyncio.Future[None]:
            self.sent += 1
            future = asyncio.get_running_loop().create_future()
            if self.sent == 1:
                future.set_exception(ConnectionError())
            elif self.sent == 2:
                future.cancel()
            else:
                future.set_result(None)
            return future

    async def story() -> int:
        stopwatch = runpy.run_path(str(bench / "carrying.py"))["Stopwatch"](Link())
        stopwatch.wanted = 2
        sent = [stopwatch.publish("a", b"", 1) for _ in range(4)]
        await asyncio.gather(*sent, return_exceptions=True)
        await asyncio.wait_for(stopwatch.reached.wait(), 10)
        return int(stopwatch.acknowledged)

    assert asyncio.run(story()) == 2
