# SPDX-License-Identifier: Apache-2.0
"""The suite ``fast-sk``: AES-SIV over AES-256 with 10 of its 14 rounds (ADR 0009; `format2.md` section 1).

Less analysed than every other suite of this project. Nothing but the AEAD differs from them: ids, topic hashes and key derivation
take the full SHA3-256 and SHA-256, and the cipher's keys are always outputs of HKDF, never chosen or related.
"""

from __future__ import annotations

from dataclasses import dataclass

from e4backends.sk import symmetric_suite
from e4core.errors import InvalidInput
from e4core.suite import AeadKey

try:
    from e4backends.fast._fast import SivKey
except ModuleNotFoundError as error:
    if error.name != "e4backends.fast._fast":
        raise
    raise ImportError(
        "the C extension was not built; install a C compiler and Python's headers, then reinstall this package"
        " (with E4_REQUIRE_FAST=1 in the environment the installation fails and says what it lacks)"
    ) from None


@dataclass(frozen=True, slots=True)
class ReducedSiv:
    """AES-SIV (RFC 5297) with 10 rounds of AES-256. Output: SIV (16 B) | ciphertext."""

    key_len = 64
    nonce_len = 0
    tag_len = 16

    def key(self, raw: bytes, /) -> AeadKey:
        if len(raw) != self.key_len:
            raise InvalidInput(f"the key is {self.key_len} bytes long, not {len(raw)}", kind="bad_key")
        if not any(raw):
            raise InvalidInput("an all-zero key is refused", kind="bad_key")
        return SivKey(bytes(raw))


SUITE = symmetric_suite("fast-sk", "fast-sk", ReducedSiv())
