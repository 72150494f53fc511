# SPDX-License-Identifier: Apache-2.0
"""Parts of suites that are wrong in one thing. For tests alone."""

from __future__ import annotations

import os
from hashlib import sha3_512
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from e4backends import sk
from e4backends.pq_pyca import MlKem768
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret


class Like:
    """Another part, but for what a subclass says."""

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


# ------------------------------------------------------------------------------------------------------------- AEAD


class GcmWithoutAd:
    """AES-GCM that leaves the associated data out: recognised by what it gives without any."""

    def __init__(self, raw: bytes) -> None:
        self._gcm = AESGCM(raw)

    def seal(self, nonce: bytes, plaintext: bytes, _associated_data: bytes, /) -> bytes:
        return self._gcm.encrypt(nonce, plaintext, None)

    def open(self, nonce: bytes, ciphertext: bytes, _associated_data: bytes, /) -> bytes:
        try:
            return self._gcm.decrypt(nonce, ciphertext, None)
        except InvalidTag:
            raise AuthenticationFailed from None


# ------------------------------------------------------------------------------------------------------ hash and KDF


class Truncated(Like):
    def digest(self, data: bytes, /) -> bytes:
        return self._part.digest(data)[:31]  # type: ignore[no-any-return]


class OtherHash:
    def digest(self, data: bytes, /) -> bytes:
        return sha3_512(data).digest()[:32]


def kdf_without_info(secret: bytes, _info: bytes, length: int, /) -> bytes:
    return sk.SUITE.kdf(secret, b"", length)


def kdf_of_short_info(secret: bytes, info: bytes, length: int, /) -> bytes:
    return sk.SUITE.kdf(secret, info[:64], length)


def kdf_of_one_block(secret: bytes, info: bytes, length: int, /) -> bytes:
    return (sk.SUITE.kdf(secret, info, 64) * 300)[:length]


# -------------------------------------------------------------------------------------------------- keys and channels


class Unchecked(Like):
    """Looks at the length alone."""

    def check(self, public: bytes, /) -> None:
        if len(public) != self._part.public_len or not any(public):
            raise InvalidInput("length", kind="bad_key")


class Constant(Like):
    _made = Secret(b"\7" * 32)

    def generate(self) -> bytes:
        return self._made


class ConstantHalf(Like):
    def generate(self) -> bytes:
        return Secret(self._part.generate()[:20] + b"\7" * 12)


class PlainBytes(Like):
    def generate(self) -> bytes:
        return bytes(self._part.generate())


class OneByteMore(Like):
    @property
    def overhead(self) -> int:
        return self._part.overhead + 1  # type: ignore[no-any-return]


class _Headless(Like):
    def seal(self, info: bytes, _header: bytes, plaintext: bytes, /) -> bytes:
        return self._part.seal(info, b"", plaintext)  # type: ignore[no-any-return]

    def open(self, info: bytes, _header: bytes, body: bytes, /) -> bytes:
        return self._part.open(info, b"", body)  # type: ignore[no-any-return]


class _Ended(Like):
    """Both ends ``kind``'s way."""

    kind: type[Any]

    def at_device(self, device: Any, c2_public: bytes, /) -> Any:
        return self.kind(self._part.at_device(device, c2_public))

    def at_c2(self, c2: Any, device_public: bytes, /) -> Any:
        return self.kind(self._part.at_c2(c2, device_public))


class IgnoresHeader(_Ended):
    kind = _Headless


class SameForAll(Like):
    """A key that the whole fleet shares."""

    _key = b"\7" * 32

    def at_device(self, _device: Any, c2_public: bytes, /) -> Any:
        return self._part.at_device(sk.SUITE.device.load(self._key), c2_public)

    def at_c2(self, c2: Any, _device_public: bytes, /) -> Any:
        return self._part.at_c2(c2, self._key)


class SameEncapsulation(MlKem768):
    """Encapsulates once to each public key."""

    def __init__(self) -> None:
        self._made: dict[bytes, Any] = {}

    def encapsulate(self, public: bytes, /) -> Any:
        if public not in self._made:
            self._made[public] = super().encapsulate(public)
        return self._made[public]


class Unframed(_Ended):
    """A channel that dies of what is too short."""

    class kind(Like):
        def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
            body[15]
            return self._part.open(info, header, body)  # type: ignore[no-any-return]


class TouchesToken(Like):
    handle_algorithms = MappingProxyType({"": "X25519"})

    def in_token(self, handles: Any, /) -> Any:
        handles[""].public()
        return self._part.in_token(handles)


class _Infoless(Like):
    def seal(self, _info: bytes, header: bytes, plaintext: bytes, /) -> bytes:
        return self._part.seal(b"", header, plaintext)  # type: ignore[no-any-return]

    def open(self, _info: bytes, header: bytes, body: bytes, /) -> bytes:
        return self._part.open(b"", header, body)  # type: ignore[no-any-return]


class IgnoresInfo(_Ended):
    kind = _Infoless


class _Unbound(Like):
    def seal(self, _info: bytes, _header: bytes, plaintext: bytes, /) -> bytes:
        return self._part.seal(b"", b"", plaintext)  # type: ignore[no-any-return]

    def open(self, _info: bytes, _header: bytes, body: bytes, /) -> bytes:
        return self._part.open(b"", b"", body)  # type: ignore[no-any-return]


class IgnoresAll(_Ended):
    kind = _Unbound


class LongTail(_Ended):
    """What is beyond the first chunk of a long plaintext goes as it is."""

    class kind(Like):
        def seal(self, info: bytes, header: bytes, plaintext: bytes, /) -> bytes:
            return self._part.seal(info, header, plaintext[:1024]) + plaintext[1024:]  # type: ignore[no-any-return]

        def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
            end = 1024 + 16
            return self._part.open(info, header, body[:end]) + body[end:]  # type: ignore[no-any-return]


class OfThisProcess(Like):
    """Its keys are others after a restart."""

    def load(self, stored: bytes, /) -> Any:
        salt = os.getpid().to_bytes(len(stored), "big")
        return self._part.load(Secret(bytes(a ^ b for a, b in zip(stored, salt, strict=True))))


class LoadsLonger(Like):
    def load(self, stored: bytes, /) -> Any:
        return self._part.load(stored[: self._part.private_len])


class LoadsAnother(Like):
    def load(self, _stored: bytes, /) -> Any:
        return self._part.load(self._part.generate())


class DiesOfForeign(Like):
    def public(self, private: Any, /) -> bytes:
        return bytes(private[:])


class ChecksNothing(Like):
    def check(self, public: bytes, /) -> None:
        pass


class LoadsDying(Like):
    def load(self, stored: bytes, /) -> Any:
        if len(stored) > 64:
            raise ValueError("too long")
        return self._part.load(stored)


class ChecksDying(Like):
    def check(self, public: bytes, /) -> None:
        try:
            self._part.check(public)
        except InvalidInput:
            raise ValueError("no point") from None


class Somebody(Like):
    """The C2 of a symmetric suite that takes keys."""

    def load(self, _stored: bytes, /) -> Any:
        return self._part.load(b"")

    def check(self, public: bytes, /) -> None:
        pass


class DyingChannel(_Ended):
    """One that fails by an error of Python."""

    class kind(Like):
        def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
            try:
                return self._part.open(info, header, body)  # type: ignore[no-any-return]
            except AuthenticationFailed:
                raise ValueError("bad container") from None


def kdf_with_salt(secret: bytes, info: bytes, length: int, /) -> bytes:
    return HKDF(SHA256(), length, b"salt", info).derive(secret)


class SaysLonger(Like):
    """Of its private values."""

    @property
    def private_len(self) -> int:
        return self._part.private_len + 1  # type: ignore[no-any-return]
