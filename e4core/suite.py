# SPDX-License-Identifier: Apache-2.0
"""A suite is a value made of small parts; replace one and keep the rest: ``dataclasses.replace(SK, aead=HsmAead())``.

Parts raise and never return verdicts. Every nonce is made by the core, none by a part. All lengths are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType, Protocol, runtime_checkable

from e4core.keys import Secret, utf8

_TOPIC_LEN = {1: 16, 2: 32}

PrivateKey = NewType("PrivateKey", object)
"""What an `Identity` loads: bytes, or a handle to a key that never leaves its token. Only parts of the suite look inside."""


@runtime_checkable
class KeyHandle(Protocol):
    """A key pair whose private half stays in a token. May be used from any thread; every call may raise KmsError."""

    def public(self) -> bytes: ...
    def agree(self, peer_public: bytes, /) -> Secret:
        """The raw shared secret. Raises: InvalidInput (``bad_key``): ``peer_public``."""
        ...

    def sign(self, message: bytes, /) -> bytes: ...
    def create(self) -> None:
        """Make the pair. Raises: Conflict: there is one."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class TakesHandles(Protocol):
    """An `Identity` whose `PrivateKey` may be of key pairs in a token, one for each of its uses."""

    @property
    def handle_algorithms(self) -> Mapping[str, str]:
        """What the pair of each use must be: ``X25519``. The names of pairs end with their use; that of an only pair is empty."""
        ...

    def in_token(self, handles: Mapping[str, KeyHandle], /) -> PrivateKey:
        """The private key made of these pairs, by use; none of them is touched yet."""
        ...


class AeadKey(Protocol):
    """A key made ready for use (RFC 5116)."""

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        """Ciphertext and tag."""
        ...

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        """Plaintext. Raises: AuthenticationFailed, silent about the reason."""
        ...


class Aead(Protocol):
    """Authenticated encryption with associated data."""

    @property
    def key_len(self) -> int: ...
    @property
    def nonce_len(self) -> int: ...
    @property
    def tag_len(self) -> int: ...
    def key(self, raw: bytes, /) -> AeadKey:
        """Raises: InvalidInput (``bad_key``): wrong length, all zero."""
        ...


class Hash(Protocol):
    def digest(self, data: bytes, /) -> bytes: ...


class Kdf(Protocol):
    """HKDF-SHA256 with an empty salt (RFC 5869), in every suite (`format2.md` section 1)."""

    def __call__(self, secret: bytes, info: bytes, length: int, /) -> bytes: ...


class Signer(Protocol):
    def sign(self, message: bytes, /) -> bytes: ...


class Verifier(Protocol):
    def verify(self, message: bytes, signature: bytes, /) -> None:
        """Raises: AuthenticationFailed (``bad_signature``)."""
        ...


class Signature(Protocol):
    @property
    def public_len(self) -> int:
        """Length of what a verifier takes: in Format 2 the first part of an identity's public value, in `pk` all of it."""
        ...

    @property
    def signature_len(self) -> int: ...
    def signer(self, private: PrivateKey, /) -> Signer: ...
    def verifier(self, public: bytes, /) -> Verifier: ...


class Identity(Protocol):
    """What a device is, or what the C2 is."""

    @property
    def private_len(self) -> int:
        """Length of the stored private value; 0: there is none."""
        ...

    @property
    def public_len(self) -> int: ...
    @property
    def public_is_secret(self) -> bool:
        """True in symmetric suites: what the C2 keeps of a device is then its very key."""
        ...

    def generate(self) -> bytes:
        """A fresh private value in its stored form."""
        ...

    def load(self, stored: bytes, /) -> PrivateKey:
        """Raises: InvalidInput (``bad_key``): length, all zero, a public half that does not belong."""
        ...

    def public(self, private: PrivateKey, /) -> bytes: ...
    def check(self, public: bytes, /) -> None:
        """Raises: InvalidInput (``bad_key``): length, all zero, no point of the curve, low order."""
        ...


class Channel(Protocol):
    """One end of the way between a device and its C2.

    ``seal`` and ``open`` make and read the container of `format2.md` section 3; ``info`` is its context up to the device id,
    ``header`` its bytes 0 to 26.
    """

    @property
    def command_key(self) -> AeadKey:
        """Protects the commands of Format 1 (`wire.md` sections 5 and 6.2)."""
        ...

    def seal(self, info: bytes, header: bytes, plaintext: bytes, /) -> bytes:
        """All that follows the header."""
        ...

    def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
        """Raises: AuthenticationFailed."""
        ...


class ControlChannel(Protocol):
    @property
    def overhead(self) -> int:
        """Bytes by which `Channel.seal` makes a plaintext longer."""
        ...

    def at_device(self, device: PrivateKey, c2_public: bytes, /) -> Channel:
        """Raises: InvalidInput (``bad_key``)."""
        ...

    def at_c2(self, c2: PrivateKey, device_public: bytes, /) -> Channel:
        """Raises: InvalidInput (``bad_key``)."""
        ...


@dataclass(frozen=True, slots=True)
class Suite:
    """A named choice of cryptography; `name` stands in the configuration, `wire_name` in keys and associated data."""

    name: str
    wire_name: str
    format: int
    aead: Aead
    hash: Hash
    kdf: Kdf
    device: Identity
    c2: Identity
    control: ControlChannel
    signature: Signature | None = None
    approved: bool = False
    """Whether all its primitives are approved ones of FIPS 140-3."""

    @property
    def is_symmetric(self) -> bool:
        return self.device.public_is_secret

    def derive_id(self, name: str) -> bytes:
        """First 16 bytes of the hash of a client's or a topic's name: its id, its topic hash (`wire.md` section 2)."""
        return self.hash.digest(utf8(name, "name"))[:16]

    def derive_topic(self, name: str) -> bytes:
        """What stands for a topic in this suite's format: 16 bytes of its hash, or all 32 (`format2.md` section 1)."""
        return self.hash.digest(utf8(name, "topic name"))[: _TOPIC_LEN[self.format]]
