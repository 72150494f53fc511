# SPDX-License-Identifier: Apache-2.0
"""What a device may tell everybody of itself, as a line of text that fits a QR code.

``e4:NAME?suite=SUITE&id=HEX``, then ``&key=BASE64URL`` in public-key suites, or where that is too long to be scanned
``&sha256=HEX`` of it. NAME is percent-encoded, SUITE a wire name. In symmetric suites there is nothing to add: the key is a secret.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

from e4core.errors import InvalidInput
from e4core.keys import check_client_name

KEY_MAX_LEN = 256
"""Bytes; a code with more is read by few telephones."""
TEXT_MAX_LEN = 4096
_FIELDS = {"suite": r"[\w.+-]{1,64}", "id": r"[0-9a-f]{32}", "key": r"[\w-]{1,400}={0,2}", "sha256": r"[0-9a-f]{64}"}


@dataclass(frozen=True, slots=True)
class DeviceText:
    """``suite`` is a wire name, ``id`` 16 bytes in hexadecimal, ``sha256`` that of a key that is not here."""

    name: str
    suite: str
    id: str
    key: bytes | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, name: str, suite: str, identity: str, public: bytes | None) -> DeviceText:
        """Args: public: key of the device; None in symmetric suites."""
        if public is None or len(public) <= KEY_MAX_LEN:
            return cls(name, suite, identity, public)
        return cls(name, suite, identity, None, hashlib.sha256(public).hexdigest())

    @classmethod
    def parse(cls, text: str) -> DeviceText:
        """Raises: InvalidInput (``bad_device_text``, ``bad_name``)."""
        given = re.fullmatch(r"e4:([^?#]+)\?([^#]+)", text.strip()) if len(text) <= TEXT_MAX_LEN else None
        pairs = parse_qsl(given[2], keep_blank_values=True) if given else []
        fields = dict(pairs)
        well_formed = all(re.fullmatch(_FIELDS.get(name, "$^"), value, re.ASCII) for name, value in pairs)
        if not given or not well_formed or len(fields) != len(pairs) or not {"suite", "id"} <= fields.keys():
            raise _none()
        name = check_client_name(unquote(given[1]))
        return cls(name, fields["suite"], fields["id"], _key(fields.get("key")), fields.get("sha256"))

    def __str__(self) -> str:
        key = None if self.key is None else urlsafe_b64encode(self.key).decode().rstrip("=")
        fields = {"suite": self.suite, "id": self.id, "key": key, "sha256": self.sha256}
        given = {name: value for name, value in fields.items() if value is not None}
        return f"e4:{quote(self.name, safe='/')}?{urlencode(given)}"


def _key(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except ValueError as error:
        raise _none() from error


def _none() -> InvalidInput:
    return InvalidInput("this is not what e4 device qr shows of a device; scan it again", kind="bad_device_text")
