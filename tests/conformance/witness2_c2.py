# SPDX-License-Identifier: Apache-2.0
"""The C2's end of Format 2 for the independent implementation: sealing commands, reading reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.conformance.witness2_algorithms import Algorithms
from tests.conformance.witness2_state import Pair
from tests.conformance.witness2_wire import (
    COMMAND,
    HELLO,
    OFFER,
    OUTCOMES,
    REFUSALS,
    End,
    Report,
    number,
    open_report,
    seal_control,
)


@dataclass(frozen=True)
class C2:
    """The way to one device: own pair private, the device's public. In a symmetric suite the device key is the second of a pair."""

    row: Algorithms
    client: bytes
    own: Pair
    device: Pair

    @property
    def end(self) -> End:
        return End(device_key=self.device[1]) if self.row.signature is None else End(b"", *self.own, *self.device)

    def to(self, device: Pair) -> C2:
        """The same for another key of the device."""
        return replace(self, device=device)

    def seal(self, sequence: int, plain: bytes, salt: bytes) -> bytes:
        return seal_control(self.row, COMMAND, self.client, self.end, sequence, salt, plain)

    def read(self, data: bytes, others: Sequence[C2] = ()) -> dict[str, Any]:
        """A report as the vectors write it; ``others`` stand for the keys that count beside the current ones."""
        report, _ = open_report(self.row, self.client, [self.end, *(other.end for other in others)], data)
        return content(self.row, report)


def content(row: Algorithms, report: Report) -> dict[str, Any]:
    common: dict[str, Any] = {"last": report.last, "digest": report.digest.hex()}
    rest = report.rest
    if report.kind == HELLO:
        return {"kind": "hello", **common, "nonce": rest.hex()}
    if report.kind == OFFER:
        public = rest[16 : len(rest) - row.signature_len]
        return {"kind": "offer", **common, "nonce": rest[:16].hex(), "public": public.hex()}
    error = REFUSALS[rest[17] - 1] if rest[17] else ""
    outcome = OUTCOMES[rest[16]]
    return {"kind": "ack", **common, "subject": number(rest[:8]), "outcome": outcome, "error": error}
