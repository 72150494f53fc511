# SPDX-License-Identifier: Apache-2.0
"""The AEAD of `toys` with faults that short inputs, one thread and the streams of Python do not show. For tests alone."""

from __future__ import annotations

import os
import time
from threading import current_thread, main_thread

from tests.conformance.suites.toys import ToyKey


class TagOfStartAndLength(ToyKey):
    """Of a long ciphertext only the first chunk is under the tag."""

    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return super().tag(nonce, sealed[:1024] + len(sealed).to_bytes(8, "big"), ad)


class TagOfStart(ToyKey):
    """The same, without the length."""

    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return super().tag(nonce, sealed[:1024], ad)


class TagOfBlocks(ToyKey):
    """In whatever order."""

    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        blocks = sorted(sealed[at : at + 16] for at in range(0, len(sealed), 16))
        return super().tag(nonce, b"".join(blocks), ad)


class TagOfShortAssociatedData(ToyKey):
    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return super().tag(nonce, sealed, ad[:128])


class Streams(ToyKey):
    """Gives long ones out before the tag has come."""

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        if len(ciphertext) > 256:
            return self.mask(nonce, ciphertext[:-16])
        return super().open(nonce, ciphertext, associated_data)


class Panic(BaseException):
    """As a library in Rust has it: no Exception."""


class PanicsInThreads(ToyKey):
    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        if current_thread() is not main_thread():
            raise Panic
        return super().seal(nonce, plaintext, associated_data)


class HangsInThreads(ToyKey):
    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        if current_thread() is not main_thread():
            time.sleep(2)
        return super().seal(nonce, plaintext, associated_data)


class PrintsNatively(ToyKey):
    """Past Python, as code in C does."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        os.write(2, raw.hex().encode())
