# SPDX-License-Identifier: Apache-2.0
"""An authentic report under the key in use, and what is known of the device that it is of."""

from __future__ import annotations

from dataclasses import dataclass, field

from e4c2.rows import Row
from e4core.report import Report


@dataclass(frozen=True, slots=True)
class Case:
    """``sequence``: its `command_sequence`.  ``open``: of an ack, all deliveries to the device that are not done."""

    device: Row
    report: Report
    sequence: Row | None
    open: list[Row] = field(default_factory=list)
