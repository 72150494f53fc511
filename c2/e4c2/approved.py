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
_APPROVED_KEYS = ("pkcs11",)
"""Schemes of those that sign and agree there."""
_WRAPS = {
    "file": "wraps with AES-256-GCM-SIV",
    "passphrase": "wraps with Argon2id",
    "shamir": "wraps with shares of a secret",
    "vault+http": "sends keys in clear",
}


def require(suite: Suite, kms: Iterable[str], c2_key: str | None, modules: Modules, has_grpc: bool = False) -> None:
    """Before anything is opened or made. Args: kms: URIs.  c2_key: URI; None: the database holds the C2's keys.

    Raises: InvalidInput (``not_approved``): all that stands against it, in one sentence.
    """
    found = (*modules.objections(), *_of_suite(suite), *_of_kms(kms), *_of_key(c2_key), *_of_grpc(has_grpc))
    if found:
        raise InvalidInput(
            f"require_fips is set, but {'; '.join(found)}; see docs/guides/fips.md, or leave require_fips out",
            kind=NOT_APPROVED,
        )


def _of_suite(suite: Suite) -> Iterable[str]:
    if not suite.approved:
        yield f"the suite {suite.name} is not made of approved primitives alone (take fips-sk or fips-pk)"


def _of_kms(uris: Iterable[str]) -> Iterable[str]:
    for scheme in sorted(set(map(_scheme, uris)).difference(_APPROVED_KMS)):
        how = _WRAPS.get(scheme, "wraps nobody knows how")
        yield f"a KMS of {scheme}: {how} (take pkcs11:, vault+https: or awskms:)"


def _of_key(uri: str | None) -> Iterable[str]:
    if uri is not None and _scheme(uri) not in _APPROVED_KEYS:
        yield f"a C2 key of {_scheme(uri)}: is used nobody knows how (take pkcs11:)"


def _of_grpc(is_wanted: bool) -> Iterable[str]:
    if is_wanted:
        yield "gRPC brings a TLS of its own (leave out grpc_port)"


def _scheme(uri: str) -> str:
    return uri.partition(":")[0]
