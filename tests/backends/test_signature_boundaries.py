# SPDX-License-Identifier: Apache-2.0
"""The bound of ML-DSA that liboqs 0.13 leaves unchecked, value by value."""

from __future__ import annotations

import random

import pytest

from e4backends.oqs import is_short

BETA, FIELD = 196, 20  # of ML-DSA-65


@pytest.mark.parametrize("at", [0, 1, 2, 639, 1278, 1279])
def test_each_value_of_z_is_held_to_its_bound_and_no_further(at: int) -> None:
    """FIPS 204, algorithm 8, line 13, at every edge of the arithmetic, in every place of a pair of values."""
    draw = random.Random(at)
    values = [draw.randrange(BETA + 1, (1 << FIELD) - BETA) for _ in range(1280)]
    for edge in (0, BETA, 1 << FIELD - 1, (1 << FIELD - 1) - BETA, (1 << FIELD - 1) + BETA, (1 << FIELD) - BETA):
        for value in range(max(0, edge - 2), min(1 << FIELD, edge + 3)):
            values[at] = value
            packed = sum(one << FIELD * place for place, one in enumerate(values)).to_bytes(3200, "little")
            assert is_short(b"c" * 48 + packed + b"h" * 61) == (BETA < value < (1 << FIELD) - BETA), value
