# SPDX-License-Identifier: Apache-2.0
"""A check that does not end must not keep the rest of a report from whoever waits for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread

LIMIT_S = 600.0
"""For one check, unless the caller says otherwise: of a slow device on a slow line too."""
_AGAIN_S = 5.0


class OutOfTime(BaseException):
    """Arises wherever the check is; what it examines takes no notice of an ``except Exception``."""


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """Raises: OutOfTime: what is done here takes longer, and then again and again, as cleaning up may not end either.

    Python alone can be interrupted, in the main thread, and where nobody else has set an alarm: else nothing is watched.
    """
    if current_thread() is not main_thread() or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return

    def out_of_time(_number: int, _frame: object) -> None:
        raise OutOfTime(f"it did not end within {limit_s:g} s")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
