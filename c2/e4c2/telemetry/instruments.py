# SPDX-License-Identifier: Apache-2.0
"""What watches the parts of one C2: counted and timed always, traced if wanted."""

from __future__ import annotations

from dataclasses import dataclass

from e4c2.telemetry.metrics import Metrics
from e4c2.telemetry.tracing import UNTRACED, Tracer
from e4c2.telemetry.watches import Watch, both


@dataclass(frozen=True, slots=True)
class Instruments:
    metrics: Metrics
    tracer: Tracer = UNTRACED

    @property
    def transaction(self) -> Watch:
        # those of a C2 that has nothing to do would be a trace each, every second
        return both(self.metrics.transaction, self.tracer.watch("transaction", True))

    def kms(self, name: str) -> Watch:
        """Of the KMS with this name."""
        return both(self.metrics.kms(name), self.tracer.watch(f"kms {name}", False))
