# SPDX-License-Identifier: Apache-2.0
"""Finalizing and initializing a PKCS#11 module, so that no file of anybody else is closed by it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pkcs11

_DESCRIPTORS = Path("/proc/self/fd")
_LOCK = "LCK..APIlock"


def begin_again(lib: Any) -> None:
    """All sessions, logins and keys found by ``lib`` are void after this. Raises: pkcs11.PKCS11Error: it does not initialize."""
    with lock_kept(), suppress(pkcs11.PKCS11Error):
        lib.finalize()
    lib.initialize()


@contextmanager
def lock_kept() -> Iterator[None]:
    """openCryptoki (seen in 3.8.1) closes its lock file when it is finalized, does not open it anew, and goes on with its number:
    whoever has that by then would find it locked, and later closed. So that number stays the lock file."""
    # all of them first: a copy may get the number that the folder had while it was read
    locks = {number: os.dup(number) for number in list(_locks())}
    try:
        yield
    finally:
        for number, copy in locks.items():
            # not dup2, which would close what somebody else has opened under this number
            given = fcntl.fcntl(copy, fcntl.F_DUPFD_CLOEXEC, number)
            if given != number:
                os.close(given)
            os.close(copy)


def _locks() -> Iterator[int]:
    for entry in _DESCRIPTORS.iterdir() if _DESCRIPTORS.is_dir() else ():
        with suppress(OSError):  # one that reads this very folder, or was closed meanwhile
            if entry.readlink().name == _LOCK:
                yield int(entry.name)
