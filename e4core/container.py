# SPDX-License-Identifier: Apache-2.0
"""The container of commands and reports of Format 2: header, then what the channel makes of the rest (`format2.md` section 3).

Header, 26 bytes: version 0x02 | direction (1) | sequence (8) | salt (16).
"""

from __future__ import annotations

from dataclasses import dataclass

from e4core.errors import InvalidInput
from e4core.keys import ClientId
from e4core.suite import Channel, Suite

HEADER_LEN = 26
SALT_LEN = 16
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Direction:
    """Who speaks to whom."""

    code: int
    label: bytes

    def seal(
        self, suite: Suite, channel: Channel, client: ClientId, sequence: int, plaintext: bytes, salt: bytes
    ) -> bytes:
        """The container. Args: salt: 16 fresh random bytes, also where the same is sealed again."""
        header = bytes([_VERSION, self.code]) + sequence.to_bytes(8, "little") + salt
        return header + channel.seal(self._info(suite, client), header, plaintext)

    def check(self, suite: Suite, data: bytes) -> int:
        """The sequence of a container that has not been opened yet.

        Raises: InvalidInput (``bad_length``, ``bad_version``).
        """
        shortest = HEADER_LEN + suite.control.overhead + 1
        if len(data) < shortest:
            raise InvalidInput(f"a container has at least {shortest} bytes", kind="bad_length")
        if data[0] != _VERSION or data[1] != self.code:
            raise InvalidInput("of another version, or for the other direction", kind="bad_version")
        return int.from_bytes(data[2:10], "little")

    def open(self, suite: Suite, channel: Channel, client: ClientId, data: bytes) -> bytes:
        """Plaintext of what `check` has accepted. Raises: AuthenticationFailed (``bad_signature``, ``not_authentic``)."""
        header = data[:HEADER_LEN]
        return channel.open(self._info(suite, client), header, data[HEADER_LEN:])

    def _info(self, suite: Suite, client: ClientId) -> bytes:
        return lp(self.label) + lp(suite.wire_name.encode()) + client


COMMAND = Direction(1, b"E4.2 command")
REPORT = Direction(2, b"E4.2 report")


def lp(value: bytes) -> bytes:
    """``value`` after its length in one byte."""
    return bytes([len(value)]) + value
