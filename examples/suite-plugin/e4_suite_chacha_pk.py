# SPDX-License-Identifier: Apache-2.0
"""The suite ``chacha-pk``: the same AEAD, with Ed25519 (RFC 8032) for signatures and X-Wing as KEM."""

from __future__ import annotations

from e4_suite_chacha import ChaCha

from e4backends.hybrid import Ed25519
from e4backends.pairs import paired_suite
from e4backends.xwing import XWing

SUITE = paired_suite("chacha-pk", wire_name="acme-chacha-pk-1", aead=ChaCha(), scheme=Ed25519(), kem=XWing())
