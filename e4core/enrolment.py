# SPDX-License-Identifier: Apache-2.0
"""Proof that a device which asks to be enrolled holds the key that it names.

A container of `e4core.container`, in a direction of its own, made with the very channel through which the device will speak to the
C2: in public-key suites only the holder of the private key can make it, for this one C2; in symmetric suites whoever has it. What
is inside is a digest of the whole request, the id of the enrolment token in it, so that a proof is of use for no other request.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from e4core.container import HEADER_LEN, Direction
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.keys import ClientId
from e4core.suite import Channel, Suite

ENROLMENT = Direction(3, b"E4.2 enrolment")
DIGEST_LEN = 32
_SEQUENCE = 0
_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Request:
    """What a device asks for. ``key``: its public value, or its symmetric key; ``c2_key``: version of the C2's key that it has."""

    enrolment: bytes
    """Id of the enrolment token, 16 B."""
    name: str
    key: bytes = field(repr=False)
    c2_key: int

    def digest(self, suite: Suite) -> bytes:
        """32 B: of the fields, each after its length (4 B, little-endian)."""
        parts = (b"E4 enrolment", self.enrolment, self.name.encode(), self.key, self.c2_key.to_bytes(4, "little"))
        return suite.hash.digest(b"".join(len(part).to_bytes(_LENGTH, "little") + part for part in parts))[:DIGEST_LEN]


def prove(suite: Suite, channel: Channel, request: Request, salt: bytes) -> bytes:
    """The proof. Args: channel: of the device to its C2.  salt: 16 fresh random bytes."""
    return ENROLMENT.seal(suite, channel, _id(suite, request), _SEQUENCE, request.digest(suite), salt)


def check(suite: Suite, channel: Channel, request: Request, proof: bytes) -> None:
    """Refuse a proof that is of another key, for another C2 or of another request.

    Args: channel: of the C2 to the device.
    Raises: InvalidInput (``bad_length``, ``bad_version``). AuthenticationFailed.
    """
    if len(proof) > HEADER_LEN + suite.control.overhead + DIGEST_LEN:
        raise InvalidInput("a proof is not so long", kind="bad_length")
    ENROLMENT.check(suite, proof)
    if not hmac.compare_digest(ENROLMENT.open(suite, channel, _id(suite, request), proof), request.digest(suite)):
        raise AuthenticationFailed("this proof is of another request")


def _id(suite: Suite, request: Request) -> ClientId:
    return ClientId(suite.derive_id(request.name))
