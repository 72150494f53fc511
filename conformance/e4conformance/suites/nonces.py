# SPDX-License-Identifier: Apache-2.0
"""An AEAD that notes under which key which nonce was used to seal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from e4core.suite import Aead, AeadKey, Suite

Used = list[tuple[bytes, bytes]]
"""Raw key and nonce of each sealing."""


@dataclass(frozen=True, slots=True)
class _Key:
    key: AeadKey
    raw: bytes
    used: Used

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        self.used.append((bytes(self.raw), bytes(nonce)))
        return self.key.seal(nonce, plaintext, associated_data)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        return self.key.open(nonce, ciphertext, associated_data)


@dataclass(frozen=True, slots=True)
class _Watched:
    aead: Aead
    used: Used

    @property
    def key_len(self) -> int:
        return self.aead.key_len

    @property
    def nonce_len(self) -> int:
        return self.aead.nonce_len

    @property
    def tag_len(self) -> int:
        return self.aead.tag_len

    def key(self, raw: bytes, /) -> _Key:
        return _Key(self.aead.key(raw), raw, self.used)


def watched(suite: Suite) -> tuple[Suite, Used]:
    """``suite``, and what its AEAD seals messages with from now on."""
    used: Used = []
    return replace(suite, aead=_Watched(suite.aead, used)), used
