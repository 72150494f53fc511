# SPDX-License-Identifier: Apache-2.0
"""More ports that are wrong in one thing each, in this process, and which requirements must say so. For tests alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from e4conformance.played import Obeyed, Own
from e4conformance.ports.reference import ReferencePort
from e4conformance.ports.request import Request
from e4core import formats
from e4core.client import Tolerance
from e4core.errors import E4Error, InFuture
from e4core.message import Message
from e4core.suite import Suite
from tests.conformance.ports import broken, broken_edges
from tests.conformance.ports.broken import BrokenDevice, port_with
from tests.conformance.suites.broken_signatures import OneIsEnough

Ok = dict[str, Any]


class Nameless(ReferencePort):
    def about(self, request: Request) -> Ok:
        return {**super().about(request), "name": ""}


class DoesAnything(ReferencePort):
    def _act(self, request: Request) -> Ok:
        try:
            return super()._act(request)
        except E4Error as error:
            if error.kind != "unsupported":
                raise
            return {}


class Understates(ReferencePort):
    """It takes more than it says."""

    def about(self, request: Request) -> Ok:
        return {**super().about(request), "limits": {"line": 8192, "payload": 1024}}


class NeverStops(ReferencePort):
    def close(self, _device: Own, _request: Request) -> Ok:
        return {}


class ChecksOneSignature(ReferencePort):
    def started(self, suite: Suite, saved: bytes, tolerance: Tolerance, has_clock: bool) -> Own:
        suite = replace(suite, signature=OneIsEnough(suite.signature))
        return super().started(suite, saved, tolerance, has_clock)


class ReadsAscii(BrokenDevice):
    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        return super().unprotect(data, topic.encode("ascii", "ignore").decode(), now)


class KeepsPeers(BrokenDevice):
    """What is to be removed stays."""

    def command(self, data: bytes, now: float) -> Obeyed:
        before: Any = self.state
        obeyed = super().command(data, now)
        state: Any = self.state
        if before.peers.keys() - state.peers.keys():
            self._saved = formats.dump(replace(state, peers={**before.peers, **state.peers}))
            Own.restart(self)
        return obeyed


class SendsMore(BrokenDevice):
    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        return super().protect(payload + b"\0", topic, now)


class KeepsItsFirstKey(BrokenDevice):
    first: Own | None = None

    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        self.first = self.first or self.again()
        return self.first.protect(payload, topic, now)


class ObeysAnybody(BrokenDevice):
    def command(self, data: bytes, now: float) -> Obeyed:
        try:
            return super().command(data, now)
        except E4Error:
            return Obeyed("applied", "", (), False)


class SaysItObeyed(BrokenDevice):
    def command(self, data: bytes, now: float) -> Obeyed:
        return replace(super().command(data, now), outcome="applied", kind="")


class HearsTheFuture(BrokenDevice):
    def unprotect(self, data: bytes, topic: str, now: float) -> Message:
        try:
            return super().unprotect(data, topic, now)
        except InFuture:
            return super().unprotect(data, topic, now + 1000)


class DatesNothingBack(BrokenDevice):
    def protect(self, payload: bytes, topic: str, now: float) -> bytes:
        return super().protect(payload, topic, now + 2)


FURTHER: dict[str, tuple[Callable[..., ReferencePort], str]] = {
    "E4-PORT-001": (Nameless, "fips-sk"),
    "E4-PORT-003": (DoesAnything, "fips-sk"),
    "E4-PORT-005": (Understates, "fips-sk"),
    "E4-PORT-007": (NeverStops, "fips-sk"),
    "E4-PMSG-002": (port_with(ReadsAscii), "sk"),
    "E4-PMSG-006": (port_with(broken.IgnoresTopic), "fips-sk"),
    "E4-PMSG-007": (port_with(KeepsPeers), "fips-pk"),
    "E4-PMSG-009": (Understates, "fips-sk"),
    "E4-PMSG-021": (port_with(SendsMore), "fips-sk"),
    "E4-PMSG-024": (port_with(KeepsItsFirstKey), "fips-sk"),
    "E4-PCMD-004": (port_with(ObeysAnybody), "sk"),
    "E4-PCMD-005": (port_with(broken.ObeysInPart), "fips-sk"),
    "E4-PEPO-003": (port_with(broken.DropsGrace), "fips-sk"),
    "E4-PMSG-101": (port_with(broken.TakesReplays), "sk"),
    "E4-PMSG-102": (port_with(HearsTheFuture), "sk"),
    "E4-PSTA-101": (port_with(broken.ForgetsAtRestart), "pk"),
    "E4-PCMD-101": (port_with(broken.TakesStaleCommands), "sk"),
    "E4-PCMD-102": (port_with(SaysItObeyed), "pk"),
    "E4-PEPO-101": (port_with(broken.DropsGrace), "sk"),
    "E4-PREP-101": (port_with(broken.TakesStaleCommands), "sk"),
    "E4-PMSG-103": (port_with(DatesNothingBack), "sk"),
    "E4-PMSG-111": (port_with(broken.WrongEpochRule), "fips-sk"),
    "E4-PMSG-112": (port_with(HearsTheFuture), "fips-sk"),
    "E4-PMSG-113": (port_with(broken_edges.NarrowWindow), "fips-sk"),
    "E4-PMSG-114": (port_with(broken.RepeatsSessions), "fips-sk"),
    "E4-PMSG-115": (ChecksOneSignature, "pq-hybrid"),
    "E4-PSTA-111": (port_with(broken.ForgetsAtRestart), "fips-sk"),
    "E4-PCMD-111": (port_with(broken.TakesStaleCommands), "fips-sk"),
    "E4-PCMD-112": (port_with(ObeysAnybody), "fips-sk"),
    "E4-PCMD-113": (port_with(SaysItObeyed), "fips-sk"),
    "E4-PCMD-114": (port_with(broken.LosesNewKeys), "fips-sk"),
    "E4-PCMD-115": (port_with(KeepsPeers), "fips-pk"),
    "E4-PEPO-111": (port_with(broken.DropsGrace), "fips-sk"),
    "E4-PREP-111": (port_with(broken.NoRandom), "fips-sk"),
}
"""Requirement -> a port that must fail it, and the suite that it has."""
