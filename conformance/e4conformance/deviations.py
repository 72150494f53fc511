# SPDX-License-Identifier: Apache-2.0
"""Where this implementation gives something else than e4go did, entry by entry, and why (`wire.md` section 13).

The runner checks that it really gives what is listed, so that the list cannot rot. One rule needs no entry: all-zero topic keys
in a state of e4go are not held here, so they are left out of the states that are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Key = tuple[str, str, str]
"""Kind of the file, section, entry."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """What differs from the vector, and for what reason; all that is not named must be as the vector has it."""

    ours: Mapping[str, object]
    reason: str


def _error(kind: str, reason: str) -> Deviation:
    return Deviation({"result": "error", "kind": kind}, reason)


_ZERO_KEY = _error("bad_key", "an all-zero key is refused where it enters")
_LOW_ORDER = _error("bad_key", "a public key of low order is refused where it enters")
_TOO_SHORT = Deviation(
    {"kind": "bad_length"}, "what is shorter than 104 bytes is refused before anything else (section 6)"
)
_STATE_PARTS = "a state without all its parts is refused at loading (section 10), e4go crashes with it later"
_LOW_ORDER_SAVED = {
    "ID": "x/y8UpPZL8b+A30LaYvKFg==",
    "TopicKeys": {},
    "Key": {
        "keyType": 1,
        "keyData": {
            "PrivateKey": "00M5nnKl64saLiwg9vdyEHib1BWWYx9Iv4HQJL9cquGvxh7tno8aKF34EkmxUhI6XLW2LZHTG9PHozhpAwktHA==",
            "SignerID": "x/y8UpPZL8b+A30LaYvKFg==",
            "C2PubKey": "Ow9TGLLHBHDxEtx1R2TNdD+f5inmhCUklAm1/Ial7xs=",
            "PubKeys": {},
        },
    },
    "ReceivingTopic": "e4/c7fcbc5293d92fc6fe037d0b698bca16",
}

DEVIATIONS: dict[Key, Deviation] = {
    ("sk", "command_negatives", "SetTopicKey all zero key"): _ZERO_KEY,
    ("pk", "command_negatives", "SetTopicKey all zero key"): _ZERO_KEY,
    ("pk", "command_negatives", "SetPubKey zero key"): _ZERO_KEY,
    (
        "pk",
        "command_negatives",
        "ResetTopics after the failed SetC2Key (still the old shared key; saves the low-order key)",
    ): Deviation({"state": _LOW_ORDER_SAVED}, "a refused SetC2Key changes nothing, so the former C2 key is saved"),
    ("pk", "create_errors", "SK: 15-byte id (accepted?)"): _error(
        "bad_length", "a client id has 16 bytes in every suite"
    ),
    ("pk", "create_errors", "private key whose public half belongs to another seed (accepted?)"): _error(
        "bad_key", "to sign with a foreign public half gives the private key away"
    ),
    ("pk", "odd_public_keys", "y=0 (order 4)"): _LOW_ORDER,
    ("pk", "odd_public_keys", "y=1 with sign bit"): _LOW_ORDER,
    ("pk", "odd_public_keys", "y=p+1 non-canonical identity"): _error("bad_key", "not canonical, and of low order"),
    ("pk", "odd_public_keys", "y=3"): _error("bad_key", "outside the subgroup of prime order, so nobody's public key"),
    ("pk", "unprotect", "valid signature over 0 bytes of ciphertext (88 bytes)"): _TOO_SHORT,
    ("pk", "unprotect", "truncated to 73"): _TOO_SHORT,
    ("pk", "unprotect", "truncated to 87"): _TOO_SHORT,
    ("pk", "unprotect", "truncated to 88"): _TOO_SHORT,
    ("state", "load", "lower-case top-level id/topicKeys/receivingTopic (ignored)"): _error("bad_state", _STATE_PARTS),
    ("state", "load", "no Key"): _error("bad_state", _STATE_PARTS),
    ("state", "load", "SetTopicKey on a state loaded without TopicKeys"): Deviation(
        {"result": "ok", "returned": b""}, "a missing table counts as empty, so there is nothing to crash on"
    ),
}

_PASSWORD = "needs e4go's derivation, Argon2i with an empty salt, which is not offered"  # noqa: S105

UNCHECKED: dict[Key, str] = {
    **{(kind, "key_from_password", f"number {n}"): _PASSWORD for kind in ("sk", "pk") for n in range(6)},
    ("pk", "sign_errors", "7-byte timestamp"): "timestamps are integers here, so there is none of another length",
}
"""Entries with which nothing here can be compared."""
