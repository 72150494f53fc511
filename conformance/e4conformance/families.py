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
    "SEC": "Secrecy",
    "VEC": "Test vectors",
    "WRAP": "Wrapping",
    "KERR": "Errors",
    "KSEC": "Secrecy",
    "KLIF": "Life of a handle",
    "KROT": "Keys and their rotation",
    "KCON": "Threads, processes, forks",
    "TDEL": "Delivery",
    "TTOP": "Topics",
    "TLNK": "Lost links",
    "TLIF": "Life of a connection",
    "TSEC": "Secrecy",
    "PORT": "Protocol",
    "PMSG": "Messages",
    "PSTA": "State and restarts",
    "PEPO": "Epochs",
    "PCMD": "Commands",
    "PREP": "Reports",
    "PSEC": "Secrecy",
}


def title(family: str) -> str:
    """``AEAD`` -> ``Authenticated encryption``; a family without a title stands for itself."""
    return TITLES.get(family, family)
