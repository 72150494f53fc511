# SPDX-License-Identifier: Apache-2.0
"""Parts made of PyNaCl (libsodium): Ed25519, X25519 and the way between them (`wire.md` section 6.1)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nacl import bindings
from nacl.exceptions import BadSignatureError, CryptoError

from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import Secret
from e4core.suite import KeyHandle, PrivateKey

SEED_LEN = 32
FIELD_PRIME = 2**255 - 19


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Ed25519 private key as stored everywhere in E4: seed (32) | public key (32)."""

    stored: Secret

    @property
    def public(self) -> bytes:
        return bytes(self.stored[SEED_LEN:])


@dataclass(frozen=True, slots=True)
class AgreementKey:
    """X25519 private key, 32 bytes, clamped when used."""

    stored: Secret

    def public(self) -> bytes:
        return bindings.crypto_scalarmult_base(self.stored)

    def agree(self, peer_public: bytes) -> Secret:
        return x25519(self.stored, peer_public)


class Ed25519Identity:
    """A device of a public-key suite: its Ed25519 key signs messages, and is converted to X25519 for commands."""

    private_len = 64
    public_len = 32
    public_is_secret = False

    def generate(self) -> bytes:
        return Secret(bindings.crypto_sign_keypair()[1])

    def load(self, stored: bytes, /) -> PrivateKey:
        if len(stored) != self.private_len:
            raise InvalidInput(
                f"an Ed25519 private key is {self.private_len} bytes long, not {len(stored)}", kind="bad_key"
            )
        seed, public = bytes(stored[:SEED_LEN]), bytes(stored[SEED_LEN:])
        if not any(stored):
            raise InvalidInput("an all-zero key is refused", kind="bad_key")
        # signing under a wrong public half gives the scalar away (wire.md section 12, number 20)
        if not hmac.compare_digest(bindings.crypto_sign_seed_keypair(seed)[0], public):
            raise InvalidInput("the public half does not belong to the seed of this private key", kind="bad_key")
        return PrivateKey(SigningKey(Secret(stored)))

    def public(self, private: PrivateKey, /) -> bytes:
        return _signing(private).public

    def check(self, public: bytes, /) -> None:
        _to_x25519(public)


class X25519Identity:
    """The C2 of a public-key suite. Private: 32 bytes, unclamped, or a key in a token. Public: X25519(private, 9)."""

    handle_algorithms: Mapping[str, str] = MappingProxyType({"": "X25519"})

    private_len = 32
    public_len = 32
    public_is_secret = False

    def generate(self) -> bytes:
        return Secret(bindings.randombytes(32))

    def load(self, stored: bytes, /) -> PrivateKey:
        if len(stored) != self.private_len or not any(stored):
            raise InvalidInput("an X25519 private key is 32 bytes long and not all zero", kind="bad_key")
        return PrivateKey(AgreementKey(Secret(stored)))

    def in_token(self, handles: Mapping[str, KeyHandle], /) -> PrivateKey:
        return PrivateKey(handles[""])

    def public(self, private: PrivateKey, /) -> bytes:
        return _agreement(private).public()

    def check(self, public: bytes, /) -> None:
        if len(public) != self.public_len or not any(public):
            raise InvalidInput("an X25519 public key is 32 bytes long and not all zero", kind="bad_key")
        if int.from_bytes(public, "little") >= FIELD_PRIME:
            raise InvalidInput("an X25519 public key that is not canonical is refused", kind="bad_key")
        x25519(b"\x01" * 32, public)


class Ed25519Signature:
    """Ed25519 (RFC 8032, pure). libsodium refuses S not below L, public keys of small order and non-canonical ones."""

    public_len = 32
    signature_len = 64

    def signer(self, private: PrivateKey, /) -> _Signer:
        return _Signer(_signing(private).stored)

    def verifier(self, public: bytes, /) -> _Verifier:
        Ed25519Identity().check(public)
        return _Verifier(public)


class _Signer:
    __slots__ = ("_key",)

    def __init__(self, key: Secret) -> None:
        self._key = key

    def sign(self, message: bytes, /) -> bytes:
        return bindings.crypto_sign(message, self._key)[:64]


class _Verifier:
    __slots__ = ("_public",)

    def __init__(self, public: bytes) -> None:
        self._public = public

    def verify(self, message: bytes, signature: bytes, /) -> None:
        if len(signature) != 64:  # libsodium cuts after 64 bytes of both together
            raise _bad_signature()
        try:
            bindings.crypto_sign_open(signature + message, self._public)
        except BadSignatureError:
            raise _bad_signature() from None


def _bad_signature() -> AuthenticationFailed:
    return AuthenticationFailed("the signature does not verify", kind="bad_signature")


def x25519(private: bytes, public: bytes) -> Secret:
    """X25519 (RFC 7748). Raises: InvalidInput (``bad_key``): ``public`` has low order."""
    try:
        return Secret(bindings.crypto_scalarmult(private, public))
    except CryptoError:
        raise InvalidInput("a public key of low order is refused", kind="bad_key") from None


def shared_with_c2(device: PrivateKey, c2_public: bytes) -> Secret:
    """X25519 of the converted device key and the C2's public key, 32 bytes."""
    X25519Identity().check(c2_public)
    return x25519(bindings.crypto_sign_ed25519_sk_to_curve25519(_signing(device).stored), c2_public)


def shared_with_device(c2: PrivateKey, device_public: bytes) -> Secret:
    """X25519 of the C2's private key and the converted public key of the device, 32 bytes."""
    return _agreement(c2).agree(_to_x25519(device_public))


def _to_x25519(public: bytes) -> bytes:
    """Ed25519 -> X25519 public key. Raises: InvalidInput: no point, low order, not canonical."""
    if len(public) != 32:
        raise InvalidInput(f"an Ed25519 public key is 32 bytes long, not {len(public)}", kind="bad_key")
    try:
        return bindings.crypto_sign_ed25519_pk_to_curve25519(bytes(public))
    except CryptoError:
        raise InvalidInput("this is no usable Ed25519 public key", kind="bad_key") from None


def _signing(private: PrivateKey) -> SigningKey:
    if not isinstance(private, SigningKey):
        raise InvalidInput("this suite takes Ed25519 keys as bytes", kind="bad_key")
    return private


def _agreement(private: PrivateKey) -> AgreementKey | KeyHandle:
    if isinstance(private, AgreementKey | KeyHandle):
        return private
    raise InvalidInput("this suite takes X25519 keys, as bytes or in a token", kind="bad_key")
