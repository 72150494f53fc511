# SPDX-License-Identifier: Apache-2.0
"""What an implementation must do to make the vectors of Format 2, and for whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tests.conformance.format2.sizes import Sizes


class Maker(Protocol):
    """What computes bytes: the project's code, or the independent implementation. Private keys are in their stored form."""

    def public(self, sizes: Sizes, private: bytes) -> bytes:
        """Of an identity: signature public key, then KEM public key; of a device key: itself."""
        ...

    def message(
        self, sizes: Sizes, key: bytes, topic: bytes, header: bytes, payload: bytes, private: bytes, wire_name: str
    ) -> bytes:
        """Args: topic: T, 32 bytes. private: of the sender's identity; ignored in symmetric suites."""
        ...

    def command(
        self, sizes: Sizes, client: bytes, c2: bytes, device: bytes, header: bytes, plain: bytes, wire_name: str
    ) -> bytes:
        """Args: c2: private identity. device: public identity, or device key. header: bytes 0 to 26."""
        ...

    def report(
        self, sizes: Sizes, client: bytes, device: bytes, c2: bytes, header: bytes, plain: bytes, wire_name: str
    ) -> bytes:
        """Args: device: private identity, or device key. c2: public identity."""
        ...


@dataclass(frozen=True)
class Member:
    """Somebody who sends messages."""

    client: bytes
    private: bytes
    public: bytes
