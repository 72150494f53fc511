# SPDX-License-Identifier: Apache-2.0
"""Drivers of which each is wrong in one way: ``broken:WAY?KEY``, and ``right:?KEY``. Child processes load them from here."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import threading
import time
from dataclasses import replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from e4core.errors import InvalidInput, KmsDenied, KmsError, KmsUnavailable, Tampered
from e4core.keys import Secret
from e4core.kms import Kms, Wrapped

DOWN: list[str] = []
"""Not empty: the back end cannot be reached."""
TRIES: list[str] = []
"""Wrong PINs that arrived."""
_LOG = logging.getLogger(__name__)
_MECHANISM = "aes-256-gcm"


class Right:
    """As it should be; its key is made from the URI. A version is the number of rotations of the process."""

    rotations = 0

    def __init__(self, seed: str) -> None:
        self._seed, _, pin = seed.partition("&pin=")
        self._pin = pin or "right"
        self._closed = False

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        self._ready()
        key_id = f"v{Right.rotations}"
        nonce = self._nonce()
        return Wrapped(key_id, _MECHANISM, nonce + self._cipher(key_id).encrypt(nonce, secret, self._bound(context)))

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        self._ready()
        if wrapped.mechanism != _MECHANISM:
            raise Tampered("not so")
        try:
            cipher = self._cipher(wrapped.key_id)
            return Secret(cipher.decrypt(wrapped.blob[:12], wrapped.blob[12:], self._bound(context)))
        except (InvalidTag, ValueError) as error:
            raise self._tampered(wrapped) from error

    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        return self.wrap(self.unwrap(wrapped, context), context)

    def check(self) -> None:
        self._ready()

    def close(self) -> None:
        self._closed = True

    def _ready(self) -> None:
        if self._closed:
            raise KmsError("closed")
        if DOWN:
            raise KmsUnavailable("nobody there")
        if self._pin != "right":
            self._refused()

    def _refused(self) -> None:
        if self._pin not in TRIES:
            TRIES.append(self._pin)
        raise KmsDenied("wrong PIN")

    def _nonce(self) -> bytes:
        return os.urandom(12)

    def _bound(self, context: bytes) -> bytes:
        return context

    def _tampered(self, wrapped: Wrapped) -> Exception:
        return Tampered("changed")

    def _cipher(self, key_id: str) -> AESGCM:
        return AESGCM(hashlib.sha256(f"{self._seed} {key_id}".encode(errors="replace")).digest())


class IgnoresContext(Right):
    def _bound(self, context: bytes) -> bytes:
        return b""


class AcceptsTampered(Right):
    """AES-CTR with a checksum of nothing."""

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        try:
            return super().unwrap(wrapped, context)
        except Tampered:
            return Secret(hashlib.sha256(wrapped.blob).digest())


class CachesPlaintext(Right):
    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._cache: dict[bytes, Secret] = {}

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        head = wrapped.blob[:12] + context
        if head not in self._cache:
            self._cache[head] = super().unwrap(wrapped, context)
        return self._cache[head]


class RepeatsNonces(Right):
    def _nonce(self) -> bytes:
        return b"\x07" * 12


class LeaksInRepr(Right):
    _last = Secret(b"")

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        self._last = secret
        return super().wrap(secret, context)

    def __repr__(self) -> str:
        return f"LeaksInRepr({bytes(self._last)!r})"


class LeaksInLog(Right):
    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        _LOG.debug("wrapping %s", secret.hex())
        return super().wrap(secret, context)


class LeaksInError(Right):
    _last = Secret(b"")

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        self._last = secret
        return super().wrap(secret, context)

    def _tampered(self, wrapped: Wrapped) -> Exception:
        return Tampered(f"expected {list(self._last)}")


class NotThreadSafe(Right):
    """One buffer for all."""

    _buffer = Secret(b"")

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        self._buffer = secret
        time.sleep(0.001)
        return super().wrap(self._buffer, context)


class RetriesPin(Right):
    def _refused(self) -> None:
        TRIES.extend([self._pin] * 3)
        raise KmsDenied("wrong PIN")


class WrongError(Right):
    def _tampered(self, wrapped: Wrapped) -> Exception:
        return ValueError("padding")


class AlarmsAreOutages(Right):
    def _tampered(self, wrapped: Wrapped) -> Exception:
        return KmsUnavailable("try again")


class WorksAfterClose(Right):
    def close(self) -> None:
        pass


class CrashesUnderThreads(Right):
    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        if threading.current_thread() is not threading.main_thread():
            ctypes.string_at(0)
        return super().wrap(secret, context)


class DiesInChildren(Right):
    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._process = os.getpid()

    def _ready(self) -> None:
        super()._ready()
        if os.getpid() != self._process:
            raise KmsError("the session belongs to another process")


class HangsInChildren(Right):
    """As one whose lock was held by another thread when the process forked."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self._process = os.getpid()

    def _ready(self) -> None:
        super()._ready()
        while os.getpid() != self._process:
            time.sleep(60)


class PrintsPastPython(Right):
    """As a module in C does."""

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        os.write(2, secret.hex(":").encode())
        return super().wrap(secret, context)


class RawErrorOfWrap(Right):
    """What the network raises is translated in one of two places."""

    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        if DOWN:
            raise ConnectionResetError("reset by peer")
        return super().wrap(secret, context)


class IgnoresLastByte(Right):
    def wrap(self, secret: Secret, context: bytes, /) -> Wrapped:
        wrapped = super().wrap(secret, context)
        return replace(wrapped, blob=wrapped.blob + b"\0")

    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return super().unwrap(replace(wrapped, blob=wrapped.blob[:-1]), context)


class RewrapKeepsVersion(Right):
    def rewrap(self, wrapped: Wrapped, context: bytes, /) -> Wrapped:
        self.unwrap(wrapped, context)
        return replace(wrapped)


class ForgetsFormerVersions(Right):
    def unwrap(self, wrapped: Wrapped, context: bytes, /) -> Secret:
        return super().unwrap(replace(wrapped, key_id=f"v{Right.rotations}"), context)


BROKEN: dict[type[Right], str] = {
    IgnoresContext: "E4-WRAP-015",
    AcceptsTampered: "E4-WRAP-010",
    CachesPlaintext: "E4-WRAP-010",
    RepeatsNonces: "E4-WRAP-005",
    LeaksInRepr: "E4-KSEC-001",
    LeaksInLog: "E4-KSEC-002",
    LeaksInError: "E4-KSEC-003",
    NotThreadSafe: "E4-KCON-001",
    RetriesPin: "E4-KERR-021",
    WrongError: "E4-WRAP-010",
    AlarmsAreOutages: "E4-WRAP-017",
    WorksAfterClose: "E4-KLIF-003",
    CrashesUnderThreads: "E4-KCON-001",
    DiesInChildren: "E4-KCON-004",
    PrintsPastPython: "E4-KSEC-002",
    RawErrorOfWrap: "E4-KERR-010",
    IgnoresLastByte: "E4-WRAP-010",
    RewrapKeepsVersion: "E4-KROT-011",
    ForgetsFormerVersions: "E4-KROT-010",
}
"""What is wrong -> the requirement that says so."""
_ALL: tuple[type[Right], ...] = (Right, HangsInChildren, *BROKEN)
_KINDS = {kind.__name__: kind for kind in _ALL}


def load(uri: str) -> Kms:
    scheme, _, rest = uri.partition(":")
    way, _, seed = rest.partition("?")
    if scheme != "broken" or way not in _KINDS or not seed:
        raise InvalidInput("broken:WAY?SEED")
    return _KINDS[way](seed)
