# SPDX-License-Identifier: Apache-2.0
"""The control channel of Format 1: everything follows from one 32-byte secret that device and C2 share."""

from __future__ import annotations

from e4backends.pyca import Siv, hkdf_sha256
from e4core.errors import InvalidInput
from e4core.keys import Secret, check_symmetric_key
from e4core.suite import AeadKey, PrivateKey

E4_SIV = Siv(doubled=True)
_REPORT_SIV = Siv()
_LABEL = b"\x10E4.2 control key"


class SharedSecretChannel:
    """Commands under the secret itself, reports under a key derived for each (`wire.md` 6.2, `format2.md` 3 and 4)."""

    __slots__ = ("_secret", "command_key")

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self.command_key: AeadKey = E4_SIV.key(secret)

    def seal(self, info: bytes, header: bytes, plaintext: bytes, /) -> bytes:
        return self._key(info, header).seal(b"", plaintext, header)

    def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
        return self._key(info, header).open(b"", body, header)

    def _key(self, info: bytes, header: bytes) -> AeadKey:
        return _REPORT_SIV.key(hkdf_sha256(self._secret, _LABEL + info + header, _REPORT_SIV.key_len))


class DeviceKeyChannel:
    """The device key is the secret."""

    def at_device(self, device: PrivateKey, _c2_public: bytes, /) -> SharedSecretChannel:
        if not isinstance(device, Secret):
            raise InvalidInput("this suite takes device keys as bytes", kind="bad_key")
        return SharedSecretChannel(device)

    def at_c2(self, _c2: PrivateKey, device_public: bytes, /) -> SharedSecretChannel:
        check_symmetric_key(device_public)
        return SharedSecretChannel(Secret(device_public))
