# SPDX-License-Identifier: Apache-2.0
"""Who signed a message, and with what: stories and steps of public-key suites (`format2.md` sections 1.1 and 2.2)."""

from __future__ import annotations

from tests.conformance.format2.commands import peers_of
from tests.conformance.format2.fleet import (
    NOW,
    OLD_KEY,
    SEQUENCE,
    Fleet,
    Json,
    applied,
    flipped,
    ignored,
    refused,
    remove_topic,
)

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FIRST_LEN = 64
"""Of the signature that is named first, Ed25519's."""


def signatures(f: Fleet, m: bytes) -> list[Json]:
    by_bob = f.message(b"mine", f.bob)
    steps = [
        f.enrolled(),
        refused(f.message(sender=f.member("stranger")), "unknown_sender"),
        refused(f.message(signer=f.mallory), "bad_signature", why="a member signs with the id of another"),
        refused(f.message(key=OLD_KEY, signer=f.mallory), "bad_signature"),
        f.delivered(f.message(sender=f.mallory)),
        f.delivered(m),
        f.delivered(by_bob, payload=b"mine", why="the own id means the own key"),
        refused(by_bob, "replayed"),
    ]
    if f.sizes.wire_name != "fips-pk":
        return steps
    later = f.message(sequence=1)
    return [
        *steps,
        refused(malleated(m), "replayed", why="the same with -s for s"),
        f.delivered(malleated(later), why="both forms of s are good"),
        refused(later, "replayed"),
    ]


def malleated(data: bytes) -> bytes:
    return data[:-32] + (P256_ORDER - int.from_bytes(data[-32:])).to_bytes(32)


def two_signatures(f: Fleet) -> list[Json]:
    if f.sizes.wire_name != "pq-hybrid":
        return []
    good, foreign, command = f.message(), f.message(signer=f.mallory), f.command(SEQUENCE, remove_topic())
    begin = len(good) - f.sizes.signature
    second = begin + FIRST_LEN
    in_command = len(command) - f.sizes.signature
    return [
        f.story(
            "both signatures must verify",
            [
                f.enrolled(),
                refused(good[:begin] + foreign[begin:second] + good[second:], "bad_signature", why="first by another"),
                refused(good[:second] + foreign[second:], "bad_signature", why="second by another"),
                refused(good[:begin] + good[second:] + good[begin:second], "bad_signature", why="second, then first"),
                f.delivered(good),
                ignored(flipped(command, in_command), NOW, "bad_signature"),
                ignored(flipped(command, in_command + FIRST_LEN), NOW, "bad_signature"),
                applied(command, digest=f.digest([], peers_of(f))),
            ],
        )
    ]
