# SPDX-License-Identifier: Apache-2.0
"""The formats that this C2 speaks, as one table: nothing else in it asks for the number of a format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import sqlalchemy as sa

from e4c2 import acks, acks2, epochs, key_changes, messages, sealing, sealing2
from e4c2.format import Format, Sealed
from e4c2.recovery import restored
from e4c2.rows import Realm, Row
from e4core.errors import UnsupportedSuite
from e4core.message import GRACE_S
from e4core.suite import Suite


def of(suite: Suite) -> Format[Realm]:
    """Raises: UnsupportedSuite."""
    if suite.format not in _FORMATS:
        raise UnsupportedSuite(f"the suite {suite.name} is of format {suite.format}, which this C2 does not speak")
    return _FORMATS[suite.format]


def _unnumbered(_db: sa.Connection, _realm: Realm, _topics: Collection[Row]) -> None:
    """Format 1 has no epochs."""


Claim = Callable[[sa.Connection, Realm, int], list[Sealed]]


def _unless_paused(claim: Claim) -> Claim:
    """Every command of this C2 is sealed in here: none, while it is paused."""

    def gated(db: sa.Connection, realm: Realm, limit: int) -> list[Sealed]:
        return [] if restored.is_paused(db, realm) else claim(db, realm, limit)

    return gated


_FORMATS: Mapping[int, Format[Realm]] = {
    1: Format(
        claim=_unless_paused(sealing.claim),
        answer=acks.answer,
        answers=acks.answers,
        greets=acks.greets,
        renewed=_unnumbered,
        key_change=key_changes.FORMAT1,
        messages=messages.FORMAT1,
        commands_age=True,
        fixed_grace_s=GRACE_S,
        all_report=False,
    ),
    2: Format(
        claim=_unless_paused(sealing2.claim),
        answer=acks2.answer,
        answers=acks2.answers,
        greets=acks2.greets,
        renewed=epochs.advance,
        key_change=key_changes.FORMAT2,
        messages=messages.FORMAT2,
        commands_age=False,
        fixed_grace_s=None,
        all_report=True,
    ),
}
