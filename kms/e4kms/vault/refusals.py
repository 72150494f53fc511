# SPDX-License-Identifier: Apache-2.0
"""The table from what a Vault says to our errors; it has no codes, so some is told apart by its text."""

from __future__ import annotations

from e4core.errors import KeyNotFound, KmsDenied, KmsError, Tampered
from e4kms.vault.address import Address
from e4kms.vault.wire import Answer, Request

NOT_FOUND = "kms_key_not_found"
DISABLED = "kms_key_disabled"

_BY_TEXT: tuple[tuple[str, type[KmsError], str, str], ...] = (
    (
        "message authentication failed",
        Tampered,
        "tampered",
        "a secret wrapped by {0} was changed or belongs elsewhere; restore it from a backup",
    ),
    (
        "version is too new",
        KeyNotFound,
        NOT_FOUND,
        "{0} has no such version as this was wrapped under; restore a newer backup of the server",
    ),
    (
        "invalid ciphertext",
        Tampered,
        "tampered",
        "a secret wrapped by {0} was changed or belongs elsewhere; restore it from a backup",
    ),
    (
        "encryption key not found",
        KeyNotFound,
        NOT_FOUND,
        "{0} does not exist; restore it from a backup of the server, or mend the URI",
    ),
    (
        "too old",
        KeyNotFound,
        DISABLED,
        "{0} opens nothing any more that was wrapped under this version; lower its min_decryption_version, then rewrap",
    ),
    ("soft-deleted", KeyNotFound, DISABLED, "{0} is deleted softly; restore it on the server"),
    ("no handler for route", KmsError, "kms", "no transit engine is mounted at the path of {0}; mend the URI"),
    ("namespace not found", KmsError, "kms", "the namespace that the URI of {0} names does not exist; mend the URI"),
)


def refusal(answer: Answer, request: Request, address: Address) -> KmsError:
    """The error for an answer that is not ok."""
    if answer.status in (401, 403):
        return KmsDenied(f"{address} does not allow us {request}; mend the token, or what its policies allow")
    for words, error, kind, text in _BY_TEXT:
        if words in answer.reason:
            return error(text.format(address), kind=kind)
    if answer.status == 404:
        return key_not_found(address)
    said = f" ({answer.reason})" if answer.reason else ""
    return KmsError(f"{address} refuses {request} with the error {answer.status}{said}; see the log of the server")


def key_not_found(address: Address) -> KeyNotFound:
    return KeyNotFound(
        f"{address} does not exist; restore it from a backup of the server, or make it for a new database",
        kind=NOT_FOUND,
    )
