# SPDX-License-Identifier: Apache-2.0
"""An authentic report under the key in use, and what is known of the device that it is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from e4c2.rows import Row
from e4core.report import Report


@dataclass(frozen=True, slots=True)
class Case:
    """``sequence``: its `command_sequence`.  ``answered``: the deliveries that an ack shows to be done.

    ``holds``: whether the device holds what it should; None: other things are under way to it, so nobody knows.
    """

    device: Row
    report: Report
    sequence: Row | None
    answered: Sequence[Row] = ()
    holds: bool | None = None
