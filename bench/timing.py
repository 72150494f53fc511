# SPDX-License-Identifier: Apache-2.0
"""Ours against the floor: in turns, so that a machine that changes speed changes both; of seven rounds or more the best of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from statistics import median

Figures = dict[str, dict[str, float]]
Turns = Sequence[tuple[float, float]]
"""(ours, floor), seconds each."""
ROUNDS = 7


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes, without a garbage collection falling into it."""
    gc.collect()
    gc.disable()
    try:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun
    finally:
        gc.enable()


def best(turns: Turns) -> dict[str, float]:
    """The best of each, and their ratio."""
    ours, floor = min(a for a, _ in turns), min(b for _, b in turns)
    return {"ours": ours, "floor": floor, "ratio": round(ours / floor, 3)}


def typical(turns: Turns) -> dict[str, float]:
    """Medians of each, and of the ratios of each turn.

    For what takes a random time by itself, as the least would be luck; and for what takes tenths of a second, as the shorter of the
    two finds a quiet moment sooner.
    """
    ratio = median(ours / floor for ours, floor in turns)
    return {"ours": median(a for a, _ in turns), "floor": median(b for _, b in turns), "ratio": round(ratio, 3)}


def compare(
    ours: Callable[[], float],
    floor: Callable[[], float],
    rounds: int = ROUNDS,
    sum_up: Callable[[Turns], dict[str, float]] = best,
) -> dict[str, float]:
    """Measured in turns. Args: ours, floor: each gives seconds."""
    return sum_up([(ours(), floor()) for _ in range(rounds)])
