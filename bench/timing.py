# SPDX-License-Identifier: Apache-2.0
"""Ours against the floor: in turns, so that a machine that changes speed changes both; the best of seven or more of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

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


def compare(ours: Callable[[], float], floor: Callable[[], float], rounds: int = ROUNDS) -> dict[str, float]:
    """Best of each, measured in turns, and their ratio. Each callable gives seconds."""
    pairs = [(ours(), floor()) for _ in range(rounds)]
    best_ours, best_floor = min(a for a, _ in pairs), min(b for _, b in pairs)
    return {"ours": best_ours, "floor": best_floor, "ratio": round(best_ours / best_floor, 3)}
