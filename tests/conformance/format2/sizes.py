# SPDX-License-Identifier: Apache-2.0
"""The suites of which the vectors of Format 2 tell, and how long what is in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_STORED = Path(__file__).with_name("stored_keys.json")


@dataclass(frozen=True)
class Sizes:
    """A row of the table in `format2.md` section 1.1, and the lengths of stored private keys."""

    wire_name: str
    key: int
    nonce: int
    signature_private: int = 0
    signature_public: int = 0
    signature: int = 0
    kem_private: int = 0
    kem_public: int = 0
    ciphertext: int = 0

    @property
    def symmetric(self) -> bool:
        return self.signature == 0


SIZES = (
    Sizes("fips-sk", 32, 12),
    Sizes("fips-pk", 32, 12, 32, 65, 64, 32, 65, 65),
    Sizes("pq", 64, 0, 32, 1952, 3309, 64, 1184, 1088),
    Sizes("fast-sk", 64, 0),
    Sizes("pq-hybrid", 64, 0, 64, 1984, 3373, 32, 1216, 1120),
)
"""Of suites in which the independent implementation can do everything."""
VERIFIED = (
    Sizes("pq-falcon", 64, 0, 2178, 897, 666, 64, 800, 768),
    Sizes("pq-slh", 64, 0, 128, 64, 49_856, 64, 1568, 1568),
)
"""Of those in which it verifies, but does not sign."""


def stored_key(wire_name: str, name: str) -> bytes:
    """Private signature key of schemes whose keys cannot be any bytes; empty in others."""
    return bytes.fromhex(_stored().get(wire_name, {}).get(name, ""))


@cache
def _stored() -> dict[str, dict[str, str]]:
    stored: dict[str, dict[str, str]] = json.loads(_STORED.read_text())
    return stored
