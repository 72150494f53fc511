# SPDX-License-Identifier: Apache-2.0
"""Makes a key encryption key, and is killed as soon as a part of it is in the token; run by `test_key_crash`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import CodeType, FrameType

from e4kms.pkcs11 import creation, open_kms

POINTS: dict[str, CodeType] = {
    "the HMAC key": creation._mac.__code__,
    "both keys": creation._made.__code__,
}


def die_after(code: CodeType) -> None:
    """In the thread that makes all calls into the module, which is not there yet."""

    def watch(frame: FrameType, event: str, _argument: object) -> None:
        if event == "return" and frame.f_code is code and frame.f_locals["store"]:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)


def main() -> None:
    point, uri = sys.argv[1:]
    die_after(POINTS[point])
    open_kms(uri).create_key()
