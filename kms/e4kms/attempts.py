# SPDX-License-Identifier: Apache-2.0
"""How a process remembers what it tried to get in with: providers lock out the right secret too after a few wrong ones."""

from __future__ import annotations

import hmac
import os

from e4kms.records import canonical

_KEY = os.urandom(32)
"""Else a PIN of a few digits could be found by trying, in a dump of the memory."""


def attempt(*fields: bytes) -> bytes:
    """32 bytes that stand for an attempt, and tell nobody what was tried. Args: fields: where, as whom, with which secret."""
    return hmac.digest(_KEY, canonical(*fields), "sha256")
