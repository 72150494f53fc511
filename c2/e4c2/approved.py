# SPDX-License-Identifier: Apache-2.0
"""What ``require_fips`` asks for: that nothing in use is anything but an approved primitive in a validated module."""

from __future__ import annotations

from collections.abc import Iterable

from e4backends.modules import Modules
from e4core.errors import InvalidInput
from e4core.suite import Suite

NOT_APPROVED = "not_approved"

_APPROVED_KMS = ("awskms", "pkcs11", "vault+https")
"""Schemes of those that wrap in a service or token, which may have a certificate of its own."""
_WRAPS_WITH = {"file": "AES-256-GCM-SIV", "passphrase": "Argon2id", "shamir": "shares of a secret"}


def require(suite: Suite, kms: Iterable[str], modules: Modules) -> None:
    """Before anything is opened or made. Args: kms: URIs.

    Raises: InvalidInput (``not_approved``): all that stands against it, in one sentence.
    """
    found = (*modules.objections(), *_of_suite(suite), *_of_kms(kms))
    if found:
        raise InvalidInput(
            f"require_fips is set, but {'; '.join(found)}; see docs/guides/fips.md, or leave require_fips out",
            kind=NOT_APPROVED,
        )


def _of_suite(suite: Suite) -> Iterable[str]:
    if not suite.approved:
        yield f"the suite {suite.name} is not made of approved primitives alone"


def _of_kms(uris: Iterable[str]) -> Iterable[str]:
    for scheme in sorted({uri.partition(":")[0] for uri in uris}.difference(_APPROVED_KMS)):
        yield f"a KMS of {scheme}: wraps with {_WRAPS_WITH.get(scheme, 'nobody knows what')}"
