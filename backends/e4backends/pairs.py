# SPDX-License-Identifier: Apache-2.0
"""Public-key suites of Format 2 from two parts: a signature scheme and a KEM (`format2.md` sections 1 and 3).

Who writes a suite provides the two, and `paired_suite` makes the rest: identities of two pairs, one for each use, and the control
channel that encapsulates to the recipient, binds both public keys, and signs. All lengths are in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from e4backends.control import control_key
from e4backends.pyca import hkdf_sha256
from e4backends.sha3 import Sha3_256
from e4core.errors import AuthenticationFailed, InvalidInput, UnsupportedSuite
from e4core.keys import Secret
from e4core.suite import Aead, AeadKey, Hash, KeyHandle, PrivateKey, Suite, Verifier

_SIGNATURE_LABEL = b"\x16E4.2 control signature"
_SIGN, _KEM = "sign", "kem"
_SHA3_256 = Sha3_256()


class SignatureKey(Protocol):
    """A private key made ready for use; it may stay in a token."""

    @property
    def public(self) -> bytes: ...
    def sign(self, message: bytes, /) -> bytes: ...


class SignatureScheme(Protocol):
    """Key pairs are stored by their seed, or whatever is as short and makes the same pair everywhere."""

    @property
    def private_len(self) -> int: ...
    @property
    def public_len(self) -> int: ...
    @property
    def signature_len(self) -> int: ...
    def generate(self) -> bytes:
        """A fresh private key in its stored form."""
        ...

    def key(self, stored: bytes, /) -> SignatureKey:
        """Raises: InvalidInput (``bad_key``)."""
        ...

    def verifier(self, public: bytes, /) -> Verifier:
        """Raises: InvalidInput (``bad_key``)."""
        ...


class KemKey(Protocol):
    """A private key made ready for use; it may stay in a token."""

    @property
    def public(self) -> bytes: ...
    def decapsulate(self, ciphertext: bytes, /) -> Secret:
        """Raises: AuthenticationFailed: no ciphertext of this KEM."""
        ...


class Kem(Protocol):
    """A key encapsulation mechanism; the shared secret is only ever an input of HKDF."""

    @property
    def private_len(self) -> int: ...
    @property
    def public_len(self) -> int: ...
    @property
    def ciphertext_len(self) -> int: ...
    def generate(self) -> bytes:
        """A fresh private key in its stored form."""
        ...

    def key(self, stored: bytes, /) -> KemKey:
        """Raises: InvalidInput (``bad_key``)."""
        ...

    def check(self, public: bytes, /) -> None:
        """Raises: InvalidInput (``bad_key``)."""
        ...

    def encapsulate(self, public: bytes, /) -> tuple[bytes, Secret]:
        """Ciphertext and shared secret, fresh at every call. Raises: InvalidInput (``bad_key``)."""
        ...


class TokenSignatureScheme(SignatureScheme, Protocol):
    """One whose private keys may stay in a token."""

    @property
    def handle_algorithm(self) -> str:
        """What the pair in the token must be: ``P-256 (ECDSA)``."""
        ...

    def in_token(self, handle: KeyHandle, /) -> SignatureKey: ...


class TokenKem(Kem, Protocol):
    """One whose private keys may stay in a token."""

    @property
    def handle_algorithm(self) -> str:
        """What the pair in the token must be: ``P-256 (ECDH)``."""
        ...

    def in_token(self, handle: KeyHandle, /) -> KemKey: ...


@dataclass(frozen=True, slots=True)
class Pairs:
    """Both private keys of one identity."""

    signature: SignatureKey
    kem: KemKey


@dataclass(frozen=True, slots=True)
class PairedIdentity:
    """Stored: private key of the signature, then of the KEM. Public: the same order."""

    scheme: SignatureScheme
    kem: Kem
    public_is_secret = False

    @property
    def about(self) -> Mapping[str, str]:
        """What the two parts tell of themselves for a conformance report, if they do."""
        return {**getattr(self.scheme, "about", {}), **getattr(self.kem, "about", {})}

    @property
    def private_len(self) -> int:
        return self.scheme.private_len + self.kem.private_len

    @property
    def public_len(self) -> int:
        return self.scheme.public_len + self.kem.public_len

    def generate(self) -> bytes:
        return Secret(self.scheme.generate() + self.kem.generate())

    def load(self, stored: bytes, /) -> PrivateKey:
        if len(stored) != self.private_len:
            raise InvalidInput(
                f"a private key is {self.private_len} bytes long here, not {len(stored)}", kind="bad_key"
            )
        cut = self.scheme.private_len
        return PrivateKey(Pairs(self.scheme.key(Secret(stored[:cut])), self.kem.key(Secret(stored[cut:]))))

    def public(self, private: PrivateKey, /) -> bytes:
        pairs = _pairs(private)
        return pairs.signature.public + pairs.kem.public

    def check(self, public: bytes, /) -> None:
        signature_public, kem_public = self.split(public)
        self.scheme.verifier(signature_public)
        self.kem.check(kem_public)

    def split(self, public: bytes) -> tuple[bytes, bytes]:
        """The two public keys. Raises: InvalidInput (``bad_key``): length."""
        if len(public) != self.public_len:
            raise InvalidInput(f"a public key is {self.public_len} bytes long here, not {len(public)}", kind="bad_key")
        cut = self.scheme.public_len
        return bytes(public[:cut]), bytes(public[cut:])


@dataclass(frozen=True, slots=True)
class TokenPairedIdentity(PairedIdentity):
    """Takes its two pairs from a token as well; a `e4core.suite.TakesHandles`."""

    scheme: TokenSignatureScheme
    kem: TokenKem

    @property
    def handle_algorithms(self) -> Mapping[str, str]:
        return {_SIGN: self.scheme.handle_algorithm, _KEM: self.kem.handle_algorithm}

    def in_token(self, handles: Mapping[str, KeyHandle], /) -> PrivateKey:
        return PrivateKey(Pairs(self.scheme.in_token(handles[_SIGN]), self.kem.in_token(handles[_KEM])))


@dataclass(frozen=True, slots=True)
class PairedSignature:
    """Signs messages; a verifier takes the public key of the signature alone."""

    scheme: SignatureScheme

    @property
    def public_len(self) -> int:
        return self.scheme.public_len

    @property
    def signature_len(self) -> int:
        return self.scheme.signature_len

    def signer(self, private: PrivateKey, /) -> SignatureKey:
        return _pairs(private).signature

    def verifier(self, public: bytes, /) -> Verifier:
        return self.scheme.verifier(public)


class KemChannel:
    """KEM ciphertext | AEAD output | signature, under a key made for each container."""

    def __init__(self, parts: _Parts, own: Pairs, peer_public: bytes) -> None:
        peer_signature, peer_kem = parts.identity.split(peer_public)
        parts.identity.kem.check(peer_kem)
        self._parts = parts
        self._own = own
        self._peer_kem = peer_kem
        self._verifier = parts.identity.scheme.verifier(peer_signature)
        digest = parts.hash.digest
        self._outward = digest(own.signature.public) + digest(peer_kem)
        self._inward = digest(peer_signature) + digest(own.kem.public)

    @property
    def command_key(self) -> AeadKey:
        raise UnsupportedSuite("Format 2 has no key for commands: each container has one of its own")

    def seal(self, info: bytes, header: bytes, plaintext: bytes, /) -> bytes:
        aead = self._parts.aead
        ciphertext, secret = self._parts.identity.kem.encapsulate(self._peer_kem)
        context = info + self._outward + header + ciphertext
        sealed = control_key(aead, secret, context).seal(bytes(aead.nonce_len), plaintext, header)
        return ciphertext + sealed + self._own.signature.sign(_SIGNATURE_LABEL + context + sealed)

    def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
        """The signature is checked before a private key touches anything."""
        aead, identity = self._parts.aead, self._parts.identity
        begin, end = identity.kem.ciphertext_len, len(body) - identity.scheme.signature_len
        if end < begin + aead.tag_len:
            raise AuthenticationFailed
        ciphertext, sealed, signature = body[:begin], body[begin:end], body[end:]
        context = info + self._inward + header + ciphertext
        self._verifier.verify(_SIGNATURE_LABEL + context + sealed, signature)
        key = control_key(aead, self._own.kem.decapsulate(ciphertext), context)
        return key.open(bytes(aead.nonce_len), sealed, header)


@dataclass(frozen=True, slots=True)
class _Parts:
    aead: Aead
    identity: PairedIdentity
    hash: Hash


@dataclass(frozen=True, slots=True)
class PairedChannel:
    """The same in both directions: each side has its own two pairs and knows the other's public keys."""

    parts: _Parts

    @property
    def overhead(self) -> int:
        identity = self.parts.identity
        return identity.kem.ciphertext_len + self.parts.aead.tag_len + identity.scheme.signature_len

    def at_device(self, device: PrivateKey, c2_public: bytes, /) -> KemChannel:
        return KemChannel(self.parts, _pairs(device), c2_public)

    def at_c2(self, c2: PrivateKey, device_public: bytes, /) -> KemChannel:
        return KemChannel(self.parts, _pairs(c2), device_public)


def paired_suite(name: str, wire_name: str, aead: Aead, scheme: SignatureScheme, kem: Kem) -> Suite:
    """A public-key suite of Format 2."""
    return suite_of(name, wire_name, aead, PairedIdentity(scheme, kem))


def suite_of(name: str, wire_name: str, aead: Aead, identity: PairedIdentity, *, sha3_256: Hash = _SHA3_256) -> Suite:
    """As `paired_suite`, of an identity that can do more, and with SHA3-256 from elsewhere."""
    return Suite(
        name=name,
        wire_name=wire_name,
        format=2,
        aead=aead,
        hash=sha3_256,
        kdf=hkdf_sha256,
        device=identity,
        c2=identity,
        control=PairedChannel(_Parts(aead, identity, sha3_256)),
        signature=PairedSignature(identity.scheme),
    )


def _pairs(private: PrivateKey) -> Pairs:
    if not isinstance(private, Pairs):
        raise InvalidInput("this suite takes private keys that it has loaded itself", kind="bad_key")
    return private
