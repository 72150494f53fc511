# SPDX-License-Identifier: Apache-2.0
"""What went wrong with an input, and the shortest input found with which the same goes wrong."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

from fuzz.target import Check

_MOST_TRIES = 1000


def fault(check: Check, data: bytes) -> str:
    """What goes wrong with ``data``, and where; the same for inputs that show the same fault. Empty: nothing."""
    try:
        check(data)
    except AssertionError as error:
        return f"AssertionError: {error}"
    except Exception as error:  # the border: a target may let through anything, and that is what is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"
    return ""


def shortest(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    """``data`` without all that may be left out, in pieces of falling size. Args: still: whether the fault is there."""
    tries, size = _MOST_TRIES, max(1, len(data) // 2)
    while size:
        at = 0
        while at < len(data):
            if not (tries := tries - 1):
                return data
            shorter = data[:at] + data[at + size :]
            if still(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data
