# SPDX-License-Identifier: Apache-2.0
"""SHA3-256 (FIPS 202) from the standard library."""

from __future__ import annotations

from hashlib import sha3_256


class Sha3_256:
    """Digest of 32 bytes."""

    def digest(self, data: bytes, /) -> bytes:
        return sha3_256(data).digest()
