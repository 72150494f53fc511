# SPDX-License-Identifier: Apache-2.0
"""Argon2id (RFC 9106), one derivation at a time in a process.

OpenSSL computes the lanes in threads of one pool for the whole process. Derivations that begin together are refused, or wait for
threads that none of them gives back, for ever; so would a child that was forked amid one, whose pool stays taken.
"""

from __future__ import annotations

import os
import threading

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

_TURN = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_TURN.acquire, after_in_parent=_TURN.release, after_in_child=_TURN.release)


def derive_into(root: bytearray, passphrase: bytes, salt: bytes, *, memory_kib: int, passes: int, lanes: int) -> None:
    """Fill ``root``. Raises: MemoryError."""
    with _TURN:
        derivation = Argon2id(salt=salt, length=len(root), iterations=passes, lanes=lanes, memory_cost=memory_kib)
        derivation.derive_into(passphrase, root)
