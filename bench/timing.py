# SPDX-License-Identifier: Apache-2.0
"""Ours against the floor: in turns, so that a machine that changes speed changes both; of seven rounds or more the best of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

Figures = dict[str, dict[str, float]]
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


def compare(
    ours: Callable[[], float],
    floor: Callable[[], float],
    rounds: int = ROUNDS,
    best: Callable[[Iterable[float]], float] = min,
) -> dict[str, float]:
    """The best of each, measured in turns, and their ratio. Each callable gives seconds.

    Args: best: the median, for what takes a random time by itself: the least would be luck.
    """
    pairs = [(ours(), floor()) for _ in range(rounds)]
    best_ours, best_floor = best(a for a, _ in pairs), best(b for _, b in pairs)
    return {"ours": best_ours, "floor": best_floor, "ratio": round(best_ours / best_floor, 3)}


def typical(turns: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Medians of (ours, floor), seconds each, and of the ratios of each turn.

    For what takes tenths of a second: a floor that is the shorter of the two finds a quiet moment sooner, so the best mislead.
    """
    ratio = median(ours / floor for ours, floor in turns)
    return {"ours": median(a for a, _ in turns), "floor": median(b for _, b in turns), "ratio": round(ratio, 3)}
