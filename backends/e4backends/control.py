# SPDX-License-Identifier: Apache-2.0
"""Control channels of symmetric suites, and that of `pk`: everything follows from one 32-byte secret that device and C2 share."""

from __future__ import annotations

from dataclasses import dataclass

from e4backends.pyca import Siv, hkdf_sha256
from e4core.errors import InvalidInput, UnsupportedSuite
from e4core.keys import Secret, check_symmetric_key
from e4core.suite import Aead, AeadKey, PrivateKey

E4_SIV = Siv(doubled=True)
_REPORT_SIV = Siv()
_LABEL = b"\x10E4.2 control key"


def control_key(aead: Aead, secret: bytes, context: bytes) -> AeadKey:
    """The key of one container of `format2.md` section 3."""
    return aead.key(hkdf_sha256(secret, _LABEL + context, aead.key_len))


class DerivedKeyChannel:
    """Commands and reports of Format 2 in a symmetric suite: a key derived from the secret for each container."""

    __slots__ = ("_aead", "_nonce", "_secret")

    def __init__(self, aead: Aead, secret: Secret) -> None:
        self._aead = aead
        self._nonce = bytes(aead.nonce_len)
        self._secret = secret

    @property
    def command_key(self) -> AeadKey:
        raise UnsupportedSuite("Format 2 has no key for commands: each container has one of its own")

    def seal(self, info: bytes, header: bytes, plaintext: bytes, /) -> bytes:
        return control_key(self._aead, self._secret, info + header).seal(self._nonce, plaintext, header)

    def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
        return control_key(self._aead, self._secret, info + header).open(self._nonce, body, header)


class SharedSecretChannel(DerivedKeyChannel):
    """Format 1: commands under the secret itself, reports as in Format 2 (`wire.md` 6.2, `format2.md` section 4)."""

    __slots__ = ("_command_key",)

    def __init__(self, secret: Secret) -> None:
        super().__init__(_REPORT_SIV, secret)
        self._command_key: AeadKey = E4_SIV.key(secret)

    @property
    def command_key(self) -> AeadKey:
        return self._command_key


class DeviceKeyChannel:
    """The device key is the secret, in Format 1."""

    overhead = _REPORT_SIV.tag_len

    def at_device(self, device: PrivateKey, _c2_public: bytes, /) -> SharedSecretChannel:
        return SharedSecretChannel(_device_key(device))

    def at_c2(self, _c2: PrivateKey, device_public: bytes, /) -> SharedSecretChannel:
        check_symmetric_key(device_public)
        return SharedSecretChannel(Secret(device_public))


@dataclass(frozen=True, slots=True)
class DeviceKeyChannel2:
    """The device key is the secret, in Format 2."""

    aead: Aead

    @property
    def overhead(self) -> int:
        return self.aead.tag_len

    def at_device(self, device: PrivateKey, _c2_public: bytes, /) -> DerivedKeyChannel:
        return DerivedKeyChannel(self.aead, _device_key(device))

    def at_c2(self, _c2: PrivateKey, device_public: bytes, /) -> DerivedKeyChannel:
        check_symmetric_key(device_public)
        return DerivedKeyChannel(self.aead, Secret(device_public))


def _device_key(device: PrivateKey) -> Secret:
    if not isinstance(device, Secret):
        raise InvalidInput("this suite takes device keys as bytes", kind="bad_key")
    return device
