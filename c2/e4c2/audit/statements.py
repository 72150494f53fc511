# SPDX-License-Identifier: Apache-2.0
"""What was signed of a log, held against the log as it is: with the public key alone, and no database."""

from __future__ import annotations

from collections.abc import Iterable

from e4c2.audit.records import CUT_OFF
from e4c2.audit.signing import Checkpoint, PublicKey
from e4core.errors import Tampered

FORKED = "audit_forked"
"""Kind of the alarm that the log is another one than what was signed."""


class Statements:
    """Checkpoints of one log, by record; ``good``: up to which record the log is what they say."""

    def __init__(self, key: PublicKey, checkpoints: Iterable[Checkpoint]) -> None:
        """Raises: AuthenticationFailed: one is not signed with ``key``. Tampered (`FORKED`): two contradict each other."""
        self.hashes: dict[int, bytes] = {}
        self.good = 0
        for each in checkpoints:
            each.verify(key)
            if self.hashes.setdefault(each.number, each.hash) != each.hash:
                text = f"two checkpoints of record {each.number} contradict each other: whoever signed them has shown two logs"
                raise Tampered(text, kind=FORKED)

    def check(self, number: int, upto: bytes) -> None:
        """Take the log up to a record. Raises: Tampered (`FORKED`): names where it is not what was signed."""
        if (signed := self.hashes.get(number)) is None:
            return
        if signed != upto:
            first = f"one of the records {self.good + 1} to {number} is"
            text = f"{first} not as it was when a checkpoint was signed; somebody has put another log in its place"
            raise Tampered(text, kind=FORKED)
        self.good = number

    def check_end(self, last: int) -> None:
        """Raises: Tampered (`CUT_OFF`): more was signed than there is."""
        if (signed := max(self.hashes, default=0)) > last:
            text = f"the audit log was cut off, or put back: records {last + 1} to {signed} were there, and are missing at its end"
            raise Tampered(text, kind=CUT_OFF)
