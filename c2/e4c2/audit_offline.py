# SPDX-License-Identifier: Apache-2.0
"""The audit log, verified without the C2 that wrote it: by its database and its KMS, for when the C2 itself is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from e4c2.audit import chain, checkpoints
from e4c2.audit.signing import Checkpoint, PublicKey
from e4c2.audit.statements import Statements
from e4c2.audit.verifying import PORTION, verify
from e4c2.recovery import offline
from e4c2.settings import Settings


class Verified(NamedTuple):
    """``records`` are right, and so are ``checkpoints``; ``key`` is that of the database, with which these are signed."""

    records: int
    checkpoints: int
    key: PublicKey


async def verify_log(
    settings: Settings, witnessed: Collection[Checkpoint], tell: Callable[[int, int], object]
) -> Verified:
    """Read the whole log. Args: tell: called with how many records are done, and of how many.

    Raises: Tampered: names the first record that is not as it was written. AuthenticationFailed: a checkpoint is not of this log;
    as `offline.opened`.
    """
    async with offline.opened(settings) as (store, realm):
        kept = await store.read(chain.extent, realm)
        key = await store.read(checkpoints.public_key, realm)
        stored = await store.read(checkpoints.page, realm, 0, kept.head.number)
        statements = Statements(key, [*stored, *witnessed])
        place, total = kept.base, kept.head.number - kept.base.number
        statements.check(place.number, place.hash)
        is_end = False
        while not is_end:
            ahead = min((n for n in statements.hashes if n > place.number), default=place.number + PORTION)
            read = await store.read(verify, realm, place, min(PORTION, ahead - place.number))
            place, is_end = read.upto, read.is_end
            statements.check(place.number, place.hash)
            done = place.number - kept.base.number
            tell(done, max(done, total))
        statements.check_end(place.number)
    return Verified(place.number - kept.base.number, len(statements.hashes), key)
