# SPDX-License-Identifier: Apache-2.0
"""Single messages, commands and reports with all that went into them (`format2.md` sections 1 to 4)."""

from __future__ import annotations

import hashlib

from tests.conformance.format2.fleet import (
    EPOCH,
    KEY,
    NOW,
    SEQUENCE,
    TOPIC,
    Entry,
    Fleet,
    Header,
    Json,
    bytes_of,
    le,
    plain,
    set_topic,
    topic_hash,
)

LENGTHS = (0, 1, 15, 16, 17, 1000, 70000)
LONG = 2048
"""Bytes from which a value is abridged."""


def payload(length: int) -> bytes:
    """By the rule of `vectors.md`."""
    repeated = bytes((7 * i + length + 3) % 256 for i in range(256))
    return (repeated * (length // 256 + 1))[:length]


def abridged(name: str, data: bytes) -> Json:
    if len(data) <= LONG:
        return {name: data.hex()}
    parts = len(data), hashlib.sha256(data).hexdigest(), data[:24].hex(), data[-80:].hex()
    return {f"{name}_{part}": value for part, value in zip(("len", "sha256", "head24", "tail80"), parts, strict=True)}


def named(f: Fleet, name: str, entry: Json) -> Json:
    return {"name": f"{f.sizes.wire_name}: {name}", "suite": f.sizes.wire_name, **entry}


def sessions(f: Fleet) -> list[Json]:
    """The same in every suite."""
    cases = [(0, 0), (NOW * 10**9 + 123456789, 7), (2**64 - 1, 2**64 - 1)]
    return [
        named(f, f"clock {clock}, start {start}", session_of(f, clock, start)) for clock, start in cases if f.symmetric
    ]


def session_of(f: Fleet, clock: int, start: int) -> Json:
    random, sender = bytes_of(f"random of {clock}"), f.bob.client
    drawn = b"\x0cE4.2 session" + random + le(clock, 8) + le(start, 8) + sender
    made = hashlib.sha256(drawn).digest()[:8].hex()
    return {"random": random.hex(), "clock": clock, "start": start, "sender": sender.hex(), "session": made}


def topic_hashes(f: Fleet) -> list[Json]:
    topics = [TOPIC, "home/light", "température", "x" * 512] if f.symmetric else []
    return [named(f, t[:20], {"topic_utf8_hex": t.encode().hex(), "hash": topic_hash(t).hex()}) for t in topics]


def sealed_messages(f: Fleet) -> list[Json]:
    """Where there is a signature, only what stands before it is the same each time."""
    lengths = LENGTHS if f.symmetric else LENGTHS[:2]
    return [named(f, f"{n} bytes", sealed_message(f, n, 2**32 - 1 if n == 1 else n)) for n in lengths]


def sealed_message(f: Fleet, length: int, sequence: int) -> Json:
    header = Header(f.alice.client, sequence=sequence)
    data = f.message(payload(length), sequence=sequence)
    key_info = b"\x10E4.2 message key" + name_of(f) + topic_hash(TOPIC) + le(EPOCH, 4) + header.sender + header.session
    signed = {} if f.symmetric else {"sender_public": f.signature_public(f.alice).hex()}
    return {
        "topic": TOPIC,
        "topic_key": KEY.hex(),
        "epoch": header.epoch,
        "timestamp": header.timestamp,
        "sender": header.sender.hex(),
        "session": header.session.hex(),
        "sequence": sequence,
        "payload_len": length,
        **signed,
        "key_info": key_info.hex(),
        "nonce": (le(sequence, 4) + bytes(8))[: f.sizes.nonce].hex(),
        "associated_data": header.encode().hex(),
        **(abridged("protected", data) if f.symmetric else {"protected": data.hex()}),
    }


def sealed_commands(f: Fleet) -> list[Json]:
    several: list[Entry] = [(0x01, b""), set_topic(validity=600, not_after=NOW + 86400, older=NOW + 3600)]
    return [
        named(f, "one entry", sealed_command(f, SEQUENCE, plain((0x01, b"")))),
        named(f, "several entries", sealed_command(f, 2**64 - 1, plain(*several))),
    ]


def sealed_command(f: Fleet, sequence: int, content: bytes) -> Json:
    data = f.sealed(sequence, content)
    context = b"\x0cE4.2 command" + name_of(f) + f.bob.client
    if not f.symmetric:
        c2 = f.maker.public(f.sizes, f.c2())
        context += sha3(c2[: f.sizes.signature_public]) + sha3(f.bob.public[f.sizes.signature_public :])
    return {
        "client_id": f.bob.client.hex(),
        "private": f.bob.private.hex(),
        "c2_private": f.c2().hex(),
        "sequence": sequence,
        "salt": data[10:26].hex(),
        "plain": content.hex(),
        "context": (context + data[: 26 + f.sizes.ciphertext]).hex(),
        "protected": data.hex(),
    }


def name_of(f: Fleet) -> bytes:
    return bytes([len(f.sizes.wire_name)]) + f.sizes.wire_name.encode()


def sha3(data: bytes) -> bytes:
    return hashlib.sha3_256(data).digest()
