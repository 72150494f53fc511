# SPDX-License-Identifier: Apache-2.0
"""Several threads at once, and the child of a fork: keys are shared by both."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Barrier, Thread

from e4conformance.requirement import Unmet
from e4conformance.suites.subject import SuiteSubject, timed

_THREADS = 4
_CHILD_S = 20.0


def in_threads(subject: SuiteSubject, act: Callable[[int], bool], what: str) -> None:
    """Four threads call ``act`` with their number, many times. Raises: Unmet: one did not give True."""
    rounds = max(2, min(2000, int(subject.effort.budget_s / _THREADS / max(timed(lambda: act(0)), 1e-6))))
    barrier, wrong = Barrier(_THREADS), list[str]()

    def work(number: int) -> None:
        barrier.wait()
        try:
            if not all(act(number) for _ in range(rounds)):
                wrong.append("gave something else than alone")
        except Exception as error:  # foreign code; what it raises in a thread would go unseen
            wrong.append(f"raised {type(error).__name__}: {error}")

    with _switching_often():
        threads = [Thread(target=work, args=(number,)) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if wrong:
        raise Unmet(f"{what} {wrong[0]}, in {len(wrong)} of {_THREADS} threads at once")


def in_child(act: Callable[[], bool], what: str) -> None:
    """Raises: Unmet: ``act`` does not give True in a fork of this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: that is what is looked at
        child = os.fork()
    if not child:
        _answer(act)
    code = _code(child)
    if code:
        ends = {2: "raises in the child of a fork", 3: "hangs in the child of a fork"}
        raise Unmet(f"{what} {ends.get(code, 'gives something else in the child of a fork')}")


def _answer(act: Callable[[], bool]) -> None:
    code = 2
    try:
        code = 0 if act() else 1
    finally:
        os._exit(code)


def _code(child: int) -> int:
    """Its exit status; 3: it had to be killed."""
    begun = time.monotonic()
    while time.monotonic() - begun < _CHILD_S:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 3


@contextmanager
def _switching_often() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(former)
