# SPDX-License-Identifier: Apache-2.0
"""The suite ``pk``: E4's public-key mode (`wire.md` section 6)."""

from __future__ import annotations

from e4backends.control import E4_SIV, DeviceKeyChannel, SharedSecretChannel
from e4backends.pyca import hkdf_sha256
from e4backends.sha3 import Sha3_256
from e4backends.sodium import Ed25519Identity, Ed25519Signature, X25519Identity, shared_with_c2, shared_with_device
from e4core.keys import Secret
from e4core.suite import PrivateKey, Suite

_HASH = Sha3_256()


class X25519Channel:
    """The secret is SHA3-256 of the X25519 result (`wire.md` section 6.1)."""

    overhead = DeviceKeyChannel.overhead

    def at_device(self, device: PrivateKey, c2_public: bytes, /) -> SharedSecretChannel:
        return SharedSecretChannel(Secret(_HASH.digest(shared_with_c2(device, c2_public))))

    def at_c2(self, c2: PrivateKey, device_public: bytes, /) -> SharedSecretChannel:
        return SharedSecretChannel(Secret(_HASH.digest(shared_with_device(c2, device_public))))


SUITE = Suite(
    name="pk",
    wire_name="pk",
    format=1,
    aead=E4_SIV,
    hash=_HASH,
    kdf=hkdf_sha256,
    device=Ed25519Identity(),
    c2=X25519Identity(),
    control=X25519Channel(),
    signature=Ed25519Signature(),
)
