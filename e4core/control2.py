# SPDX-License-Identifier: Apache-2.0
"""Commands of Format 2 on their way to a device: sealed by the C2, opened by the device (`format2.md` section 3)."""

from __future__ import annotations

from e4core.container import COMMAND, HEADER_LEN
from e4core.errors import InvalidInput
from e4core.keys import ClientId
from e4core.suite import Channel, Suite

LONGEST = 1_000_000
"""Length in bytes of the longest command, in every suite; brokers and small devices need a bound."""


def room(suite: Suite) -> int:
    """Length in bytes of the longest plaintext of a command."""
    return LONGEST - HEADER_LEN - suite.control.overhead


def seal_command(
    suite: Suite, channel: Channel, client: ClientId, sequence: int, plaintext: bytes, salt: bytes
) -> bytes:
    """What goes to the control topic. Args: plaintext: by `e4core.command2.encode`.  salt: 16 fresh random bytes.

    Raises: InvalidInput (``bad_length``): there is no `room` for it.
    """
    if len(plaintext) > room(suite):
        text = f"a command has at most {LONGEST} bytes, so its contents at most {room(suite)}; send them in several"
        raise InvalidInput(text, kind="bad_length")
    return COMMAND.seal(suite, channel, client, sequence, plaintext, salt)


def sequence_of(suite: Suite, data: bytes) -> int:
    """Sequence that a command claims, not yet authentic. Raises: InvalidInput (``bad_length``, ``bad_version``)."""
    if len(data) > LONGEST:
        raise InvalidInput(f"a command has at most {LONGEST} bytes", kind="bad_length")
    return COMMAND.check(suite, data)


def open_command(suite: Suite, channel: Channel, client: ClientId, data: bytes) -> bytes:
    """Plaintext for `e4core.command2.decode`.

    Raises: InvalidInput (``bad_length``, ``bad_version``). AuthenticationFailed (``bad_signature``, ``not_authentic``).
    """
    sequence_of(suite, data)
    return COMMAND.open(suite, channel, client, data)
