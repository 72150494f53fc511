# SPDX-License-Identifier: Apache-2.0
"""The KMSes of the settings: whether each answers, and if not, why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from e4core.errors import E4Error
from e4core.kms import HasShares, Kms


@dataclass(frozen=True, slots=True)
class Provider:
    """A configured KMS; ``failure`` None: it answers, and its key can be used; of several in one, all of them."""

    uri: str
    failure: str | None


async def provider(uri: str, kms: Kms) -> Provider:
    """Ask it, in a thread, as that may take seconds."""
    try:
        return Provider(uri, await asyncio.to_thread(_check, kms))
    except E4Error as error:
        return Provider(uri, str(error))


def failing_kind(kms: Kms) -> str | None:
    """Of the error that it answers with."""
    try:
        kms.check()
    except E4Error as error:
        return error.kind
    return None


def _check(kms: Kms) -> str | None:
    """Which shares do not answer. Raises: KmsError."""
    if isinstance(kms, HasShares):
        return kms.check_shares(None, b"")
    kms.check()
    return None
