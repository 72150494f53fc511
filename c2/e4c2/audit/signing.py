# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: signed statements of what the audit log is up to a record, which anybody can check who knows the public key.

Signed is `canonical` of: "e4 audit checkpoint v1", database id (16 B), number (8 B), time (8 B, a double), hash of the log (32 B);
numbers are little-endian.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Self

from e4backends.p256 import Ecdsa
from e4c2.audit.records import HASH_LEN
from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.suite import Signer, Verifier
from e4kms.deks import DATABASE_ID_LEN
from e4kms.records import canonical

_DOMAIN = b"e4 audit checkpoint v1"
_NO_CHECKPOINT = "this is no checkpoint of an audit log"


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How checkpoints are signed; a private key is bytes as they are stored, sealed."""

    generate: Callable[[], bytes]
    public: Callable[[bytes], bytes]
    signer: Callable[[bytes], Signer]
    verifier: Callable[[bytes], Verifier]


ED25519, P256 = "ed25519", "ecdsa-p256"


def _ed25519() -> Algorithm:
    # not loaded where everything in use has to be approved
    from e4backends.sodium import Ed25519Identity, Ed25519Signature

    identity, signature = Ed25519Identity(), Ed25519Signature()
    return Algorithm(
        identity.generate,
        lambda stored: identity.public(identity.load(stored)),
        lambda stored: signature.signer(identity.load(stored)),
        signature.verifier,
    )


def _p256() -> Algorithm:
    ecdsa = Ecdsa()
    return Algorithm(ecdsa.generate, lambda stored: ecdsa.key(stored).public, ecdsa.key, ecdsa.verifier)


_MADE: Mapping[str, Callable[[], Algorithm]] = MappingProxyType({ED25519: _ed25519, P256: _p256})


@cache
def algorithm(name: str) -> Algorithm:
    """One of `ED25519` and `P256`."""
    return _MADE[name]()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Who signs the checkpoints of one database: write it down where nobody gets who can change the C2."""

    database: bytes
    algorithm: str
    public: bytes

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.database.hex()}:{self.public.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: InvalidInput (``bad_key``)."""
        name, _, rest = text.strip().partition(":")
        database, _, public = rest.partition(":")
        try:
            made = cls(bytes.fromhex(database), name, bytes.fromhex(public))
            if name not in _MADE or len(made.database) != DATABASE_ID_LEN:
                raise ValueError
            algorithm(name).verifier(made.public)
        except ValueError as error:  # InvalidInput is one too
            raise InvalidInput(
                "the public key of an audit log has the form ALGORITHM:DATABASE:KEY, as e4 audit key shows it",
                kind="bad_key",
            ) from error
        return made


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Record ``number`` is the last of a log whose hash up to there is ``hash``."""

    database: bytes
    number: int
    time: float
    hash: bytes
    signature: bytes = b""

    def message(self) -> bytes:
        number, time = self.number.to_bytes(8, "little"), struct.pack("<d", self.time)
        return canonical(_DOMAIN, self.database, number, time, self.hash)

    def verify(self, key: PublicKey) -> None:
        """Raises: AuthenticationFailed (``bad_signature``): not signed with this key, or of another database."""
        if self.database != key.database:
            raise AuthenticationFailed("this checkpoint is of the audit log of another database", kind="bad_signature")
        algorithm(key.algorithm).verifier(key.public).verify(self.message(), self.signature)

    def document(self) -> dict[str, Any]:
        """As it is published, and kept by witnesses."""
        return {
            "database": self.database.hex(),
            "number": self.number,
            "time": self.time,
            "hash": self.hash.hex(),
            "signature": base64.b64encode(self.signature).decode(),
        }

    def encoded(self) -> bytes:
        return json.dumps(self.document()).encode()

    @classmethod
    def parse(cls, document: object) -> Self:
        """Raises: InvalidInput (``bad_checkpoint``)."""
        if not isinstance(document, Mapping):
            raise InvalidInput(_NO_CHECKPOINT, kind="bad_checkpoint")
        try:
            made = cls(
                bytes.fromhex(document["database"]),
                int(document["number"]),
                float(document["time"]),
                bytes.fromhex(document["hash"]),
                base64.b64decode(document["signature"], validate=True),
            )
            made.message()
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(_NO_CHECKPOINT, kind="bad_checkpoint") from error
        if (len(made.database), len(made.hash)) != (DATABASE_ID_LEN, HASH_LEN) or made.number < 1:
            raise InvalidInput(_NO_CHECKPOINT, kind="bad_checkpoint")
        return made

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """As `encoded`. Raises: as `parse`."""
        try:
            return cls.parse(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(_NO_CHECKPOINT, kind="bad_checkpoint") from error
