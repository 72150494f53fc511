# SPDX-License-Identifier: Apache-2.0
"""Titles of the families of requirements: the letters in the middle of an id."""

from __future__ import annotations

TITLES = {
    "AEAD": "Authenticated encryption",
    "HASH": "Hash and names",
    "KDF": "Derivation of keys",
    "SIG": "Signatures",
    "ID": "Identities and their keys",
    "CHN": "Control channel",
    "MSG": "Messages",
    "CMD": "Commands",
    "REP": "Reports",
    "EPO": "Epochs",
    "STA": "State and restarts",
    "SEC": "Secrecy",
    "PORT": "Port protocol",
    "KMS": "Key management",
    "TRN": "Transport",
}


def title(family: str) -> str:
    """``AEAD`` -> ``Authenticated encryption``; a family without a title stands for itself."""
    return TITLES.get(family, family)
