# SPDX-License-Identifier: Apache-2.0
"""Ways of the tests to a port."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping

from e4conformance import kit
from e4conformance.kit import Outcome
from e4conformance.ports import PORTS, PortSubject, of
from e4conformance.ports.client import Port
from e4conformance.ports.links import PortFault
from e4conformance.ports.reference import ReferencePort, installed
from e4conformance.ports.serving import LINE, serve
from e4core.suite import Suite

REFERENCE = f"{sys.executable} -m e4conformance.ports.reference"


class Straight:
    """A port in this process: what is sent is answered before `send` returns."""

    def __init__(self, port: ReferencePort) -> None:
        self._port = port
        self._lines: deque[bytes] = deque()
        self._sent: list[bytes] = []

    def send(self, data: bytes, _deadline_s: float) -> None:
        self._sent = [data]
        serve(self._port.answer, self, self)

    def readline(self, _size: int = -1) -> bytes:
        if not self._sent:
            return b""
        line = self._sent.pop()
        if len(line) > LINE:
            self._sent.append(line[LINE + 1 :])
            return line[: LINE + 1]
        return line

    def write(self, data: bytes) -> None:
        self._lines += data.splitlines()

    def flush(self) -> None:
        pass

    def line(self, _deadline_s: float) -> bytes:
        if not self._lines:
            raise PortFault("the port does not answer in time")
        return self._lines.popleft()

    def is_quiet(self, _wait_s: float) -> bool:
        return not self._lines

    def told(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


def here(make: Callable[[Mapping[str, Suite]], ReferencePort], *suites: str) -> PortSubject:
    """The subject behind a port in this process."""
    chosen = installed(suites)
    return of(Port(lambda: Straight(make(chosen))), seed=11)


def examined(subject: PortSubject, *only: str) -> dict[str, Outcome]:
    """Outcomes by id."""
    return {outcome.requirement.id: outcome for outcome in kit.run(subject, PORTS, only)}


def not_passed(outcomes: Collection[Outcome]) -> list[str]:
    passed = (kit.Verdict.PASSED, kit.Verdict.NOT_APPLICABLE)
    return [
        f"{each.requirement.id}: {each.verdict.value}: {each.detail}" for each in outcomes if each.verdict not in passed
    ]
