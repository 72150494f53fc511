# SPDX-License-Identifier: Apache-2.0
"""PINs that a token refused. A process never sends one again, whoever asks: an HSM locks after a few wrong ones."""

from __future__ import annotations

import os
from pathlib import Path

import pkcs11

from e4core.keys import Secret
from e4kms.attempts import attempt

_refused: dict[bytes, type[pkcs11.PKCS11Error]] = {}


def require_not_refused(module: Path, token: pkcs11.Token, pin: Secret) -> None:
    """Raises: pkcs11.PKCS11Error: what the token said to this PIN, in this process or a parent before the fork."""
    if error := _refused.get(_with(module, token, pin)):
        raise error


def remember_refused(module: Path, token: pkcs11.Token, pin: Secret, error: pkcs11.PKCS11Error) -> None:
    _refused[_with(module, token, pin)] = type(error)


def _with(module: Path, token: pkcs11.Token, pin: Secret) -> bytes:
    told = (str(module), token.manufacturer_id, token.model, token.label)
    return attempt(*(os.fsencode(text) for text in told), token.serial, pin)
