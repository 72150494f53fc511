# SPDX-License-Identifier: Apache-2.0
"""Signatures that are wrong in one thing. For tests alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from e4core.errors import AuthenticationFailed
from e4core.suite import Verifier
from tests.conformance.suites.broken_parts import Like

ORDER = 2**252 + 27742317777372353535851937790883648493


@dataclass
class Over:
    """A signature that sees of a message what ``part`` gives."""

    inner: Any
    last: int

    def sign(self, message: bytes, /) -> bytes:
        return self.inner.sign(message[: self.last])  # type: ignore[no-any-return]

    def verify(self, message: bytes, signature: bytes, /) -> None:
        self.inner.verify(message[: self.last], signature)


class PrefixOnly(Like):
    def signer(self, private: Any, /) -> Any:
        return Over(self._part.signer(private), 32)

    def verifier(self, public: bytes, /) -> Verifier:
        return Over(self._part.verifier(public), 32)


class ChunkOnly(Like):
    def signer(self, private: Any, /) -> Any:
        return Over(self._part.signer(private), 2048)

    def verifier(self, public: bytes, /) -> Verifier:
        return Over(self._part.verifier(public), 2048)


class _Verifying(Like):
    """Verifies ``kind``'s way."""

    kind: type[Any]

    def verifier(self, public: bytes, /) -> Any:
        return self.kind(self._part.verifier(public))


class _Empty(Like):
    def verify(self, message: bytes, signature: bytes, /) -> None:
        if signature:
            self._part.verify(message, signature)


class TakesEmpty(_Verifying):
    kind = _Empty


class _Cut(Like):
    def verify(self, message: bytes, signature: bytes, /) -> None:
        self._part.verify(message, signature[:64])


class TakesLonger(_Verifying):
    kind = _Cut


class _Joined(Like):
    """As a library does that takes both in one string and cuts after 64 bytes of them."""

    def verify(self, message: bytes, signature: bytes, /) -> None:
        together = signature + message
        self._part.verify(together[64:], together[:64])


class MovesBoundary(_Verifying):
    kind = _Joined


class _Reduced(Like):
    def verify(self, message: bytes, signature: bytes, /) -> None:
        s = int.from_bytes(signature[32:], "little") % ORDER
        self._part.verify(message, signature[:32] + s.to_bytes(32, "little") if len(signature) == 64 else signature)


class Malleable(_Verifying):
    kind = _Reduced


class _Answers(Like):
    def verify(self, message: bytes, signature: bytes, /) -> bool:
        try:
            self._part.verify(message, signature)
        except AuthenticationFailed:
            return False
        return True


class GivesBoolean(_Verifying):
    kind = _Answers


class _OtherKind(Like):
    def verify(self, message: bytes, signature: bytes, /) -> None:
        try:
            self._part.verify(message, signature)
        except AuthenticationFailed:
            raise ValueError("bad signature") from None


class RaisesValueError(_Verifying):
    kind = _OtherKind


class LastSigned(Like):
    """Signs what the call before gave it."""

    def signer(self, private: Any, /) -> Any:
        return _Late(self._part.signer(private))


class _Late(Like):
    _former = b""

    def sign(self, message: bytes, /) -> bytes:
        signature = self._part.sign(self._former or message)
        self._former = message
        return signature  # type: ignore[no-any-return]


class _Silent(Like):
    def verify(self, _message: bytes, _signature: bytes, /) -> None:
        pass


class TakesAnySignature(_Verifying):
    kind = _Silent


class _FirstHalf(Like):
    """Of two signatures the first is enough."""

    def verify(self, message: bytes, signature: bytes, /) -> None:
        if len(signature) != self._part.signature_len:
            raise AuthenticationFailed(kind="bad_signature")
        self._part.first.verify(message, signature[:64])


class OneIsEnough(_Verifying):
    kind = _FirstHalf


class SignsHereOnly(Like):
    """A session with the token that belongs to one process."""

    def signer(self, private: Any, /) -> Any:
        return _Session(self._part.signer(private))


class _Session(Like):
    def __init__(self, part: Any) -> None:
        super().__init__(part)
        self._process = os.getpid()

    def sign(self, message: bytes, /) -> bytes:
        if os.getpid() != self._process:
            raise OSError("the session is gone")
        return self._part.sign(message)  # type: ignore[no-any-return]


class ChecksLate(Like):
    """Looks at a public key only where it verifies."""

    def verifier(self, public: bytes, /) -> Any:
        return _Lazy(self._part, public)


class _Lazy:
    def __init__(self, part: Any, public: bytes) -> None:
        self._part, self._public = part, public

    def verify(self, message: bytes, signature: bytes, /) -> None:
        self._part.verifier(self._public).verify(message, signature)
