# SPDX-License-Identifier: Apache-2.0
"""Devices of Format 2 that are wrong at the edge of what they have room for, and in what they save. For tests alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from e4conformance.played import Obeyed, Own
from e4core import formats
from e4core.errors import Replayed
from e4core.message import Message
from tests.conformance.ports.broken import NOTHING_SEEN, BrokenDevice


class NarrowWindow(BrokenDevice):
    """By one."""

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        got = super().unprotect(data, topic, now)
        self.highest = max(getattr(self, "highest", 0), got.sequence)
        if got.sequence == self.highest - 1024:
            raise Replayed
        return got


class TakesWhatIsBehind(BrokenDevice):
    """Forgets what is behind its window, and takes it."""

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        behind = getattr(self, "highest", 0) - int.from_bytes(data[37:41], "little") > 1024
        device: Own = self.again(**NOTHING_SEEN) if behind else super()  # type: ignore[assignment]
        got = device.unprotect(data, topic, now)
        self.highest = max(getattr(self, "highest", 0), got.sequence)
        return got


class ForgetsSessions(BrokenDevice):
    """Has room for 8, and raises no floor."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self.sessions: set[bytes] = set()
        super().__init__(*args, **named)

    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        if data[29:37] not in self.sessions and len(self.sessions) == 8:
            self.sessions.clear()
            self._saved = formats.dump(replace(self.state, **NOTHING_SEEN))
            Own.restart(self)
        got = super().unprotect(data, topic, now)
        self.sessions.add(data[29:37])
        return got


class ForgetsRefusals(BrokenDevice):
    """Saves only what it obeys."""

    def command(self, data: bytes, now: float) -> Obeyed:
        before = self._saved
        obeyed = super().command(data, now)
        if obeyed.outcome == "refused":
            self._saved = before
        return obeyed
