# SPDX-License-Identifier: Apache-2.0
"""The device of a story: this implementation in process, or whatever else can do what `Device` says (`e4conformance.ports`)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from e4core import formats
from e4core.client import Client, Tolerance
from e4core.client2 import Client2
from e4core.message import Message
from e4core.suite import Suite

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What became of a command that was authentic. ``outcome``: as `e4core.report.Outcome`, in lower case."""

    outcome: str
    kind: str
    """Of the error; empty: there was none."""
    reports: tuple[bytes, ...]
    synchronised: bool


class Device(Protocol):
    """One device with the clock injected: ``now`` is its own, Unix seconds with their fraction.

    Whatever is refused raises an E4Error with the kind of the check that failed.
    """

    def protect(self, payload: bytes, topic: str, now: float) -> bytes: ...
    def unprotect(self, data: bytes, topic: str, now: float) -> Message: ...
    def command(self, data: bytes, now: float) -> Obeyed: ...
    def hello(self, now: float) -> tuple[bytes, bool]:
        """The report, and whether the device is synchronised."""
        ...

    def restart(self) -> None:
        """Start from what was saved last; a crash, unless `close` came before."""
        ...

    def close(self) -> None:
        """Stop in order."""
        ...

    def dump(self) -> Mapping[str, Any]:
        """What can be observed of the state, by name."""
        ...


class Own:
    """This implementation. What it saves is kept in memory, in the JSON form of `e4core.formats`."""

    def __init__(
        self,
        suite: Suite,
        saved: bytes,
        tolerance: Tolerance = Tolerance(),  # noqa: B008  # immutable
        *,
        has_clock: bool = True,
        random: Random = os.urandom,
    ) -> None:
        """Raises: InvalidInput: of a state or key that is none."""
        self.suite = suite
        self._saved = saved
        self._tolerance = tolerance
        self._has_clock = has_clock
        self._random = random
        self._client: formats.AnyClient
        self.restart()

    def restart(self) -> None:
        state = formats.load(self._saved)
        formats.check_keys(self.suite, state)
        self._client = _CLIENTS[self.suite.format](self, state)

    def close(self) -> None:
        self._client.close()

    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        return self._client.protect(payload, topic, self._corrected(now))

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        return self._client.unprotect(data, topic, self._corrected(now))

    def command(self, data: bytes, now: float) -> Obeyed:
        handled = self._client.command(data, self._corrected(now))
        kind = "" if handled.error is None else handled.error.kind
        return Obeyed(handled.outcome.name.lower(), kind, handled.reports, self._client.synchronised)

    def hello(self, now: float) -> tuple[bytes, bool]:
        return self._client.hello(self._corrected(now)), self._client.synchronised

    def dump(self) -> Mapping[str, Any]:
        saved: Mapping[str, Any] = json.loads(self._saved)
        return saved

    @property
    def state(self) -> formats.AnyState:
        return self._client.state

    def _corrected(self, now: float) -> float:
        return now + self._client.clock_offset_s

    def _save(self, state: formats.AnyState) -> None:
        self._saved = formats.dump(state)

    def _client1(self, state: Any) -> Client:
        return Client(self.suite, state, self._save, self._tolerance, self._random)

    def _client2(self, state: Any) -> Client2:
        return Client2(self.suite, state, self._save, self._tolerance, self._random, self._has_clock)


_CLIENTS: dict[int, Callable[[Own, formats.AnyState], formats.AnyClient]] = {1: Own._client1, 2: Own._client2}
