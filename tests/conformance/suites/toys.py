# SPDX-License-Identifier: Apache-2.0
"""An AEAD of SHA-256 and HMAC, right and in small steps, and what becomes of it when one step is wrong. For tests alone."""

from __future__ import annotations

import hmac
import logging
import os
from hashlib import sha256
from typing import Any, ClassVar

from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret
from e4core.suite import AeadKey

log = logging.getLogger(__name__)


class ToyKey:
    """Ciphertext | tag (16 B): encrypt, then authenticate."""

    def __init__(self, raw: bytes) -> None:
        self._raw = Secret(raw)

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        sealed = self.mask(nonce, plaintext)
        return sealed + self.tag(nonce, sealed, associated_data)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        sealed, tag = ciphertext[:-16], ciphertext[-16:]
        if not self.same(self.tag(nonce, sealed, associated_data), tag):
            raise AuthenticationFailed
        return self.mask(nonce, sealed)

    def same(self, due: bytes, tag: bytes) -> bool:
        return hmac.compare_digest(due, tag)

    def mask(self, nonce: bytes, data: bytes) -> bytes:
        blocks = range(-(-len(data) // 32))
        stream = b"".join(sha256(self._raw + nonce + n.to_bytes(4, "big")).digest() for n in blocks)
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream[: len(data)], "big")).to_bytes(len(data), "big")

    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return hmac.digest(self._raw, nonce + len(ad).to_bytes(8, "big") + ad + sealed, "sha256")[:16]


class Toy:
    """An `e4core.suite.Aead` over one kind of key."""

    key_len, nonce_len, tag_len = 32, 12, 16

    def __init__(self, kind: type[AeadKey] = ToyKey) -> None:
        self._kind = kind

    def key(self, raw: bytes, /) -> AeadKey:
        if len(raw) != 32 or not any(raw):
            raise InvalidInput("a key has 32 bytes, not all zero", kind="bad_key")
        return self._kind(raw)  # type: ignore[call-arg]


class IgnoresAssociatedData(ToyKey):
    def tag(self, nonce: bytes, sealed: bytes, _ad: bytes) -> bytes:
        return super().tag(nonce, sealed, b"")


class ForgetsWhereAssociatedDataEnd(ToyKey):
    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return super().tag(nonce, ad + sealed, b"")


class TruncatedTag(ToyKey):
    """What is shorter than a tag is a short tag of nothing."""

    def same(self, due: bytes, tag: bytes) -> bool:
        return len(tag) >= 4 and due.startswith(tag)


class ComparesPartly(ToyKey):
    def same(self, due: bytes, tag: bytes) -> bool:
        return len(tag) == 16 and due[:12] == tag[:12]


class IgnoresNonce(ToyKey):
    def mask(self, _nonce: bytes, data: bytes) -> bytes:
        return super().mask(b"", data)

    def tag(self, _nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return super().tag(b"", sealed, ad)


class CutsNonce(ToyKey):
    """Of 12 bytes it uses 8."""

    def mask(self, nonce: bytes, data: bytes) -> bytes:
        return super().mask(nonce[:8], data)

    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return super().tag(nonce[:8], sealed, ad)


class VerifiesNothing(ToyKey):
    """Decrypts before it verifies, and gives what comes of it."""

    def same(self, _due: bytes, tag: bytes) -> bool:
        return len(tag) == 16


class OwnNonce(ToyKey):
    """A random value in place of what the core counts."""

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        drawn = os.urandom(2)
        sealed = bytes(a ^ b for a, b in zip(plaintext, drawn * len(plaintext), strict=False))
        return super().seal(nonce, sealed, associated_data)


class ShowsKey(ToyKey):
    def __repr__(self) -> str:
        return f"ShowsKey({self._raw.hex()})"


class HoldsBytes(ToyKey):
    """Its repr is silent; what it holds is not."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._copy = bytes(raw)


class Pickles(ToyKey):
    __slots__ = ()

    def __reduce__(self) -> tuple[object, ...]:
        return bytes, (bytes(self._raw),)


class Logs(ToyKey):
    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        log.debug("new key %s", raw.hex(" "))


class Prints(ToyKey):
    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        print("key:", raw.hex())


class SharedBuffer(ToyKey):
    """One buffer for all calls."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._buffer = bytearray()

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        self._buffer[:] = self.mask(nonce, plaintext)
        tag = self.tag(nonce, bytes(self._buffer), associated_data)
        return bytes(self._buffer) + tag


class SharedHeader(ToyKey):
    """Hands the associated data on beside the call."""

    _header = b""

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        self._header = associated_data
        return super().seal(nonce, plaintext, b"")

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        self._header = associated_data
        return super().open(nonce, ciphertext, b"")

    def tag(self, nonce: bytes, sealed: bytes, _ad: bytes) -> bytes:
        return super().tag(nonce, sealed, self._header)


class KeptById(ToyKey):
    """Remembers the name of a key that has gone: what is made next may have the same."""

    _kept: ClassVar[dict[int, bytes]] = {}

    def tag(self, nonce: bytes, sealed: bytes, ad: bytes) -> bytes:
        return hmac.digest(self._kept.setdefault(id(self), self._raw), super().tag(nonce, sealed, ad), "sha256")[:16]


class DiesInFork(ToyKey):
    """A session that belongs to one process."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self._process = os.getpid()

    def mask(self, nonce: bytes, data: bytes) -> bytes:
        if os.getpid() != self._process:
            raise OSError("the session is gone")
        return super().mask(nonce, data)


class DiesOnShortInput(ToyKey):
    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        if len(ciphertext) < 16:
            raise ValueError("too short")
        return super().open(nonce, ciphertext, associated_data)


class SaysWhy(ToyKey):
    """An oracle."""

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        if len(ciphertext) < 16:
            raise AuthenticationFailed("shorter than a tag")
        return super().open(nonce, ciphertext, associated_data)


class DiesAfterRefusal(ToyKey):
    """What a refusal leaves behind."""

    _broken = False

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        if self._broken:
            raise AuthenticationFailed
        try:
            return super().open(nonce, ciphertext, associated_data)
        except AuthenticationFailed:
            self._broken = True
            raise


class Pads(ToyKey):
    """To whole blocks."""

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        return super().seal(nonce, plaintext + bytes(-len(plaintext) % 16), associated_data)


class WrapsAt256(ToyKey):
    """A counter of blocks of one byte in seal; open has the right one."""

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        sealed = self.mask(nonce, plaintext[:8192]) + self.mask(nonce, plaintext[8192:])
        return sealed + self.tag(nonce, sealed, associated_data)


class TakesZeroKey(Toy):
    def key(self, raw: bytes, /) -> Any:
        return super().key(raw) if any(raw) else ToyKey(raw)


class IgnoresLastKeyByte(Toy):
    def key(self, raw: bytes, /) -> Any:
        return super().key(raw[:31] + b"\1") if any(raw) and len(raw) == 32 else super().key(raw)


class TellsKey(Toy):
    def key(self, raw: bytes, /) -> Any:
        if len(raw) != 32:
            raise InvalidInput(f"{bytes(raw).hex()} has not 32 bytes", kind="bad_key")
        return super().key(raw)


class TellsKeyByCause(Toy):
    def key(self, raw: bytes, /) -> Any:
        try:
            return self._checked(raw)
        except ValueError as error:
            raise InvalidInput("a key has 32 bytes", kind="bad_key") from error

    def _checked(self, raw: bytes) -> Any:
        if len(raw) != 32:
            raise ValueError(bytes(raw))
        return super().key(raw)


class OtherError(Toy):
    def key(self, raw: bytes, /) -> Any:
        if len(raw) != 32:
            raise ValueError("bad key")
        return super().key(raw)


class ShortTag(Toy):
    tag_len = 12


class LogsBadKey(Toy):
    def key(self, raw: bytes, /) -> Any:
        if len(raw) != 32:
            log.warning("not 32 bytes: %s", raw.hex())
        return super().key(raw)
