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
from types import FrameType
from typing import Any

from e4conformance.requirement import Unmet, text_of
from e4conformance.suites.subject import SuiteSubject, timed

_THREADS = 4
_GIVING_WAY = 20
"""Rounds in which a thread lets the others go on at each line of Python."""
_CHILD_S = 20.0


def in_threads(subject: SuiteSubject, act: Callable[[int], bool], what: str) -> None:
    """Four threads call ``act`` with their number, many times. Raises: Unmet: one did not give True, or did not end."""
    rounds = max(2, min(2000, int(subject.effort.budget_s / _THREADS / max(timed(lambda: act(0)), 1e-6))))
    barrier, patience_s = Barrier(_THREADS), subject.effort.patience_s
    ends = dict.fromkeys(range(_THREADS), f"does not end within {patience_s:g} s")

    def rightly(number: int) -> bool:
        with _giving_way():
            first = all(act(number) for _ in range(max(1, min(_GIVING_WAY, rounds // 10))))
        return first and all(act(number) for _ in range(rounds))

    def work(number: int) -> None:
        barrier.wait()
        try:
            ends[number] = "" if rightly(number) else "gave something else than alone"
        except BaseException as error:  # foreign code; what it raises in a thread, a panic of Rust too, would go unseen
            ends[number] = f"raised {type(error).__name__}: {text_of(error)}"

    with _switching_often():
        # daemons: those that hang must not keep the process from its end
        threads = [Thread(target=work, args=(number,), daemon=True) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + patience_s
        for thread in threads:
            thread.join(max(0, until - time.monotonic()))
    if wrong := [end for end in ends.values() if end]:
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
def _giving_way() -> Iterator[None]:
    """Between any two lines of Python another thread goes on: what a part keeps beside a call is then soon another's.

    Left to itself the interpreter seldom changes threads in the few steps between keeping something and using it.
    """

    def at_each_line(_frame: FrameType, _event: str, _given: Any) -> Any:
        time.sleep(0)
        return at_each_line

    former = sys.gettrace()
    sys.settrace(at_each_line)
    try:
        yield
    finally:
        sys.settrace(former)


@contextmanager
def _switching_often() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(former)
