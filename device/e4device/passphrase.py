# SPDX-License-Identifier: Apache-2.0
"""Keys from passphrases: Argon2id (RFC 9106), always with a salt."""

from __future__ import annotations

from dataclasses import dataclass

from e4core.errors import InvalidInput, StorageError
from e4core.keys import Secret
from e4kms import argon2

SALT_LEN = 16
KEY_LEN = 32
_MOST_MEMORY_KIB = 4 << 20
_MOST = 64


@dataclass(frozen=True, slots=True)
class Cost:
    """What one derivation costs, and so one guess; the default is RFC 9106's second recommended option.

    Attributes: memory_kib: at least 8 a lane.  passes, lanes: 1 to 64.
    """

    memory_kib: int = 65_536
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        """Raises: InvalidInput: out of range; the upper bounds keep a file from a stranger from taking all memory or time."""
        if not (1 <= self.passes <= _MOST and 1 <= self.lanes <= _MOST):
            raise InvalidInput(f"Argon2id takes 1 to {_MOST} passes and lanes here", kind="bad_cost")
        if not 8 * self.lanes <= self.memory_kib <= _MOST_MEMORY_KIB:
            raise InvalidInput(f"Argon2id takes 8 KiB a lane to {_MOST_MEMORY_KIB} KiB of memory here", kind="bad_cost")


RECOMMENDED = Cost()


def derive(passphrase: Secret, salt: bytes, cost: Cost = RECOMMENDED) -> Secret:
    """Key of 32 bytes.

    Args: salt: at least 16 bytes, random, not secret, another one for each use.
    Raises: InvalidInput: empty passphrase, short salt. StorageError: not enough memory.
    """
    if not passphrase:
        raise InvalidInput("the passphrase is empty", kind="bad_passphrase")
    if len(salt) < SALT_LEN:
        raise InvalidInput(f"a salt has at least {SALT_LEN} bytes, not {len(salt)}", kind="bad_salt")
    root = bytearray(KEY_LEN)
    try:
        argon2.derive_into(root, passphrase, salt, memory_kib=cost.memory_kib, passes=cost.passes, lanes=cost.lanes)
        return Secret(root)
    except MemoryError as error:
        raise StorageError(f"deriving a key needs {cost.memory_kib} KiB of free memory", kind="memory") from error
