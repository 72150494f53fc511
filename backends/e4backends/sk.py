# SPDX-License-Identifier: Apache-2.0
"""The suite ``sk``: E4's symmetric-key mode (`wire.md` section 5)."""

from __future__ import annotations

import os

from e4backends.control import E4_SIV, DeviceKeyChannel, DeviceKeyChannel2
from e4backends.pyca import hkdf_sha256
from e4backends.sha3 import Sha3_256
from e4core.errors import InvalidInput
from e4core.keys import Secret, check_symmetric_key
from e4core.suite import Aead, PrivateKey, Suite


class DeviceKey:
    """One 32-byte key, held by the device and by the C2."""

    private_len = 32
    public_len = 32
    public_is_secret = True

    def generate(self) -> bytes:
        return Secret(os.urandom(32))

    def load(self, stored: bytes, /) -> PrivateKey:
        check_symmetric_key(stored)
        return PrivateKey(Secret(stored))

    def public(self, private: PrivateKey, /) -> bytes:
        if not isinstance(private, Secret):
            raise InvalidInput("this suite takes device keys as bytes", kind="bad_key")
        return private

    def check(self, public: bytes, /) -> None:
        check_symmetric_key(public)


class NoIdentity:
    """What the C2 is in a symmetric suite: nobody in particular; who knows the device key is obeyed."""

    private_len = 0
    public_len = 0
    public_is_secret = False

    def generate(self) -> bytes:
        return b""

    def load(self, stored: bytes, /) -> PrivateKey:
        self.check(stored)
        return PrivateKey(b"")

    def public(self, _private: PrivateKey, /) -> bytes:
        return b""

    def check(self, public: bytes, /) -> None:
        if public:
            raise InvalidInput("a symmetric suite has no C2 key", kind="bad_key")


def symmetric_suite(name: str, wire_name: str, aead: Aead) -> Suite:
    """A symmetric suite of Format 2."""
    return Suite(
        name=name,
        wire_name=wire_name,
        format=2,
        aead=aead,
        hash=Sha3_256(),
        kdf=hkdf_sha256,
        device=DeviceKey(),
        c2=NoIdentity(),
        control=DeviceKeyChannel2(aead),
    )


SUITE = Suite(
    name="sk",
    wire_name="sk",
    format=1,
    aead=E4_SIV,
    hash=Sha3_256(),
    kdf=hkdf_sha256,
    device=DeviceKey(),
    c2=NoIdentity(),
    control=DeviceKeyChannel(),
)
