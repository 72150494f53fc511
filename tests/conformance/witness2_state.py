# SPDX-License-Identifier: Apache-2.0
"""The state of a device by ``format2.md`` section 7, and what its operations give, for the independent implementation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance.witness2_memory import Memory

Pair = tuple[bytes, bytes]
"""Of the signature, then of the KEM; both private, or both public."""


@dataclass
class Peer:
    current: bytes
    previous: bytes = b""
    until: int = 0


@dataclass
class State:
    """Section 7. In a symmetric suite the device key is the second of a pair, and the first is empty."""

    own: Pair
    c2: Pair
    memory: Memory
    pending: Pair | None = None
    nonce: bytes = b""
    """Of the NewIDKey that made the pending pairs."""
    former_c2: Pair | None = None
    last: int = 0
    peers: dict[bytes, Peer] = field(default_factory=dict)
    starts: int = 0
    clean: bool = True
    mark: int = 0


@dataclass(frozen=True)
class Delivered:
    payload: bytes
    sender: bytes
    authenticated: bool
    epoch: int
    timestamp: int
    sequence: int


@dataclass(frozen=True)
class Handled:
    outcome: str
    error: str
    reports: list[bytes]
