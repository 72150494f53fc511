# SPDX-License-Identifier: Apache-2.0
"""Messages of Format 1: how they lie in bytes, and which timestamps are acceptable (`wire.md` sections 4 to 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import concat
from typing import NamedTuple, Protocol

from e4core.errors import InFuture, TooOld, UnknownKey
from e4core.keys import ClientId
from e4core.suite import Signer, Verifier

WINDOW_S = 600
"""How long a message is acceptable after it was sent, in seconds."""
GRACE_S = 3600
"""How long the previous key of a topic is acceptable after its rotation, in seconds."""

_NEVER = (1 << 63) - 62135596800  # at and above, Go's time type wraps around to the past


class Message(NamedTuple):
    """What `unprotect` gives."""

    payload: bytes
    sender: ClientId | None
    """Who sent it; None where the format does not say."""
    authenticated: bool
    """True: the sender's signature was verified. False: any holder of the topic key may have sent it."""
    epoch: int
    """Epoch of the topic key; 0 in Format 1."""
    timestamp: int
    """Sender's clock, Unix seconds."""
    repeated: bool = False
    """True: equal to an earlier message, delivered because the topic allows it (Format 1)."""
    sequence: int = 0
    """Number of the message in its sender's session; 0 in Format 1."""


class Layout(Protocol):
    """How a message of one format lies in bytes: header (8), what identifies the sender, AEAD output, signature."""

    shortest: int
    """Length in bytes of the shortest message that can be accepted."""
    too_short: str
    """Kind of the error for what is shorter."""
    sealed: slice
    """Where the AEAD output lies."""
    sender: slice
    """Where the sender's id lies; empty if it is not said."""

    @property
    def finish(self) -> Callable[[bytes, bytes], bytes]:
        """The message, from its header and its AEAD output."""
        ...

    @property
    def authenticate(self) -> Callable[[bytes], None] | None:
        """Check who sent it. Raises: UnknownKey (``unknown_sender``). AuthenticationFailed (``bad_signature``)."""
        ...


class Plain1:
    """timestamp (8) | SIV (16) | ciphertext (n): suites without signatures; an empty payload is never accepted."""

    shortest = 25
    too_short = "too_short"
    sealed = slice(8, None)
    sender = slice(0, 0)
    finish: Callable[[bytes, bytes], bytes] = staticmethod(concat)  # type: ignore[assignment]
    authenticate = None


class Signed1:
    """timestamp (8) | sender id (16) | SIV (16) | ciphertext (n) | signature (64), the signature over all before it."""

    shortest = 104
    too_short = "bad_length"
    sealed = slice(24, -64)
    sender = slice(8, 24)

    def __init__(self, sender: ClientId, signer: Signer, verifiers: Mapping[bytes, Verifier]) -> None:
        self._id = bytes(sender)
        self._sign = signer.sign
        self._verifiers = verifiers

    def finish(self, header: bytes, sealed: bytes) -> bytes:
        signed = header + self._id + sealed
        return signed + self._sign(signed)

    def authenticate(self, data: bytes) -> None:
        verifier = self._verifiers.get(data[8:24])
        if verifier is None:
            raise UnknownKey(f"no public key is held for the sender {data[8:24].hex()}", kind="unknown_sender")
        verifier.verify(data[:-64], data[-64:])


def check_window(sent: int, now: float, window_s: float, skew_s: float) -> None:
    """Refuse what was sent after ``now + skew_s`` or before ``now - window_s`` (`wire.md` section 4; the future comes first).

    Raises: InFuture. TooOld.
    """
    if sent > now + skew_s and sent < _NEVER:
        raise InFuture
    if sent < now - window_s or sent >= _NEVER:
        raise TooOld
