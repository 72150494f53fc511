# SPDX-License-Identifier: Apache-2.0
"""The kit's side of the port protocol: one request, one answer, in order (``docs/reference/port-protocol.md``)."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from e4conformance.ports.links import PortFault, said
from e4core.errors import E4Error

_LOG = logging.getLogger(__name__)
DEADLINE_S = 10.0
"""For each answer."""
_HEARD = 4096
_SHOWN = 80

Answer = Mapping[str, Any]


class Refusal(E4Error):
    """What the port refuses; `kind` is what it says."""


class Line(Protocol):
    """A way to a port; `e4conformance.ports.links.Link` is one."""

    @property
    def close(self) -> Callable[[], None]: ...
    @property
    def told(self) -> Callable[[], bytes]: ...
    def send(self, data: bytes, deadline_s: float, /) -> None: ...
    def line(self, deadline_s: float, /) -> bytes: ...
    def is_quiet(self, wait_s: float, /) -> bool: ...


class Port:
    """A port, reached anew whenever it failed. Nothing that it holds outlives its link."""

    def __init__(self, reach: Callable[[], Line], deadline_s: float = DEADLINE_S) -> None:
        self._reach = reach
        self.deadline_s = deadline_s
        self._link: Line | None = None
        self._number = 0
        self.heard: deque[bytes] = deque(maxlen=_HEARD)
        """The last answers, as they came."""

    def ask(self, do: str, **members: object) -> Answer:
        """What is ``ok`` in the answer. Raises: Refusal. PortFault: there is no answer, or it is none. TransportError."""
        self._number += 1
        answer = self.exchange(json.dumps({"id": self._number, "do": do, **members}).encode())
        if answer.get("id") != self._number:
            raise self._fault(f"the port answers id {answer.get('id')!r} where {self._number} was asked")
        return self.outcome(answer)

    def exchange(self, line: bytes) -> Answer:
        """The answer to a line that may be no request. Raises: PortFault. TransportError."""
        if self._link is None:
            self._link = self._reach()
        _LOG.info("> %s", line.decode(errors="backslashreplace"))
        try:
            self._link.send(line + b"\n", self.deadline_s)
            data = self._link.line(self.deadline_s)
        except PortFault as error:
            raise self._fault(str(error)) from error
        _LOG.info("< %s", data.decode(errors="backslashreplace"))
        self.heard.append(data)
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._fault(f"the port sends what is no JSON object: {data[:_SHOWN]!r}")
        return answer

    def outcome(self, answer: Answer) -> Answer:
        """Raises: Refusal. PortFault: it says neither ``ok`` nor why not."""
        good, error = answer.get("ok"), answer.get("error")
        if isinstance(good, dict) and error is None:
            return good
        if good is None and isinstance(error, dict) and isinstance(error.get("kind"), str):
            raise Refusal(str(error.get("text", "")), kind=error["kind"])
        raise self._fault("an answer has either ok, an object, or error, an object with its kind")

    def is_quiet(self, wait_s: float) -> bool:
        """Whether the port sends nothing that nobody asked for."""
        return self._link is None or self._link.is_quiet(wait_s)

    def told(self) -> bytes:
        """All that the port wrote to stderr since it was started."""
        return self._link.told() if self._link else b""

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _fault(self, text: str) -> PortFault:
        told = said(self.told())
        self.close()
        return PortFault(f"{text}; it told: {told}" if told else text)
