# SPDX-License-Identifier: Apache-2.0
"""The secret that tests of drivers wrap, every way to spoil bytes, and what a secret looks like where it must not be."""

from __future__ import annotations

import base64

from e4core.keys import Secret

SECRET = Secret(bytes(range(32)))
CONTEXT = b"the context"


def flips(data: bytes) -> list[bytes]:
    """``data`` with each of its bits flipped, one at a time."""
    return [
        bytes(b ^ (1 << bit % 8) if i == bit // 8 else b for i, b in enumerate(data)) for bit in range(len(data) * 8)
    ]


def shown(secret: bytes) -> list[str]:
    return [secret.hex(), base64.b64encode(secret).decode(), repr(bytes(secret))[2:-1]]
