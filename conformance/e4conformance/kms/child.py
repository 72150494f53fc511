# SPDX-License-Identifier: Apache-2.0
"""``python -m e4conformance.kms.child``: use a driver as a task says (a line of JSON on stdin), and tell of each role its fault.

The answer is a line for each: the role, and what went wrong in it; empty: nothing. A crash of the driver ends this process alone.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from e4conformance.requirement import text_of
from e4core.errors import Tampered
from e4core.keys import Secret
from e4core.kms import Kms, Wrapped

_THREADS = 8
_BUDGET_S = 0.2
_MOST = 20


class _Wrong(Exception):
    """Not what was wrapped, or opened though it was changed."""


@dataclass(frozen=True)
class _Task:
    load: Callable[[str], Kms]
    uri: str
    secret: Secret
    context: bytes
    wrapped: Wrapped

    @classmethod
    def parse(cls, task: dict[str, Any]) -> _Task:
        module, _, name = task["load"].partition(":")
        key_id, mechanism, blob = task["wrapped"]
        load: Any = import_module(module)
        for part in name.split("."):
            load = getattr(load, part)
        wrapped = Wrapped(key_id, mechanism, bytes.fromhex(blob))
        return cls(load, task["uri"], Secret(bytes.fromhex(task["secret"])), bytes.fromhex(task["context"]), wrapped)

    def open(self) -> Kms:
        return self.load(self.uri)

    def use(self, kms: Kms, rounds: int = 1) -> None:
        """With secrets and contexts of its own, of which no other thread knows. Raises: _Wrong; whatever the driver raises."""
        for _ in range(rounds):
            secret, context = Secret(os.urandom(32)), os.urandom(16)
            if kms.unwrap(kms.wrap(secret, context), context) != secret:
                raise _Wrong("a secret did not come back: another one did")
            self.read(kms)

    def read(self, kms: Kms) -> None:
        """What was wrapped before. Raises: _Wrong; whatever the driver raises."""
        if kms.unwrap(self.wrapped, self.context) != self.secret:
            raise _Wrong("a wrap that was made before did not give its secret")

    def tamper(self, kms: Kms) -> None:
        blob = bytes([*self.wrapped.blob[:-1], self.wrapped.blob[-1] ^ 1])
        try:
            kms.unwrap(replace(self.wrapped, blob=blob), self.context)
        except Tampered:
            return
        raise _Wrong("a changed wrap was accepted")

    def rounds(self, kms: Kms) -> int:
        begun = time.perf_counter()
        self.use(kms)
        cost_s = time.perf_counter() - begun
        return max(1, min(_MOST, int(_BUDGET_S / (cost_s * _THREADS))))


def _process(task: _Task) -> None:
    with closing(task.open()) as kms:
        task.read(kms)
        kms.check()


def _threads(task: _Task) -> None:
    with closing(task.open()) as kms:
        rounds, together = task.rounds(kms), threading.Barrier(_THREADS)

        def work(_: int) -> None:
            together.wait()
            task.use(kms, rounds)
            task.tamper(kms)

        _all(work)


def _handles(task: _Task) -> None:
    def work(_: int) -> None:
        with closing(task.open()) as kms:
            task.read(kms)

    begun = time.perf_counter()
    work(0)
    _all(work, max(4, min(2 * _THREADS, int(_BUDGET_S / (time.perf_counter() - begun)))))


def _all(work: Callable[[int], None], times: int = _THREADS) -> None:
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, range(times)))


def _fork(task: _Task) -> None:
    with closing(task.open()) as kms:
        task.use(kms)

        def in_child() -> None:
            task.use(kms)
            _join(_forked(lambda: task.use(kms)))

        child = _forked(in_child)
        task.use(kms)
        _join(child)
        with ThreadPoolExecutor(2) as pool:
            busy = [pool.submit(task.use, kms, 2) for _ in range(4)]
            children = [_forked(lambda: task.use(kms)) for _ in range(2)]
            for each in busy:
                each.result()
        _join(*children)
        task.use(kms)


def _parting(task: _Task) -> None:
    kms = task.open()
    task.use(kms)
    _join(_forked(kms.close))
    task.use(kms)
    read, write = os.pipe()

    def later() -> None:
        os.read(read, 1)
        task.use(kms)

    child = _forked(later)
    kms.close()
    os.write(write, b"x")
    _join(child)


def _forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        print(f"in a forked child: {_named(error)}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _join(*children: int) -> None:
    for child in children:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            raise _Wrong(f"a forked child ended with {status}")


_ROLES: dict[str, Callable[[_Task], None]] = {
    "process": _process,
    "threads": _threads,
    "handles": _handles,
    "fork": _fork,
    "parting": _parting,
}


def main() -> None:
    sys.setswitchinterval(1e-5)  # what a race needs to show
    request = json.loads(sys.stdin.readline())
    task = _Task.parse(request)
    for role in request["roles"]:
        print(json.dumps([role, _fault(_ROLES[role], task)]), flush=True)


def _fault(work: Callable[[_Task], None], task: _Task) -> str:
    """The border to foreign code: whatever that raises is told."""
    try:
        work(task)
    except Exception as error:
        return _named(error)
    return ""


def _named(error: BaseException) -> str:
    return str(error) if isinstance(error, _Wrong) else f"raised {type(error).__name__}: {text_of(error)}"


if __name__ == "__main__":
    main()
