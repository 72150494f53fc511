# SPDX-License-Identifier: Apache-2.0
"""Stories about commands: their order, and what is refused (`format2.md` sections 3.3 and 3.4)."""

from __future__ import annotations

from tests.conformance.format2.fleet import (
    EPOCH,
    KEY,
    NEW_KEY,
    NOW,
    OLD_KEY,
    OTHER,
    RESET_TOPICS,
    RESTART,
    SEQUENCE,
    TOPIC,
    US,
    Entry,
    Fleet,
    Json,
    ack,
    already,
    applied,
    bytes_of,
    declined,
    flipped,
    ignored,
    le,
    plain,
    refused,
    remove_topic,
    set_topic,
)

FIRST = SEQUENCE - US
"""Of the command that enrols."""


def peers_of(f: Fleet) -> list[tuple[bytes, bytes]]:
    return [] if f.symmetric else [(m.client, f.signature_public(m)) for m in (f.alice, f.mallory)]


def command_order(f: Fleet) -> list[Json]:
    first, second = f.command(SEQUENCE, remove_topic()), f.command(SEQUENCE + 5, set_topic())
    resealed = f.command(SEQUENCE + 5, set_topic(), salt="another")
    zero = f.command(SEQUENCE + 9, set_topic(key=bytes(32)))
    empty, full = f.digest([], peers_of(f)), f.digest([(TOPIC, EPOCH, EPOCH, KEY)], peers_of(f))
    again = ack(SEQUENCE + 5, "already", digest=full)
    return [
        f.story(
            "an older one is met with silence, the newest is acknowledged again, once in 10 s",
            [
                f.enrolled(),
                applied(first, NOW, digest=empty),
                applied(second, NOW, digest=full),
                ignored(first, NOW, "replayed"),
                ignored(flipped(first, 30), NOW, "replayed"),
                already(second, NOW, again),
                already(second, NOW + 9),
                already(resealed, NOW + 11, again),
                refused(f.message(), "topic_key_missing", topic=OTHER),
                f.delivered(f.message()),
            ],
        ),
        f.story(
            "a refused one counts: it is not older ones' turn again",
            [
                f.enrolled(),
                declined(zero, NOW, "bad_key", full),
                ignored(first, NOW, "replayed"),
                already(zero, NOW, ack(SEQUENCE + 9, "already", digest=full)),
                f.delivered(f.message()),
            ],
        ),
        f.story(
            "sequence, not time: any second of issue, also after a restart",
            [
                f.enrolled(),
                applied(f.sealed(SEQUENCE, plain(RESET_TOPICS, issued=0)), digest=empty),
                RESTART,
                ignored(first, NOW, "replayed"),
                applied(f.sealed(SEQUENCE + 1, plain(set_topic(), issued=2**64 - 1)), NOW - 10**6, digest=full),
                applied(f.command(2**63, RESET_TOPICS), digest=empty),
                ignored(second, NOW, "replayed"),
            ],
        ),
    ]


def refused_containers(f: Fleet) -> list[Json]:
    good = f.command(SEQUENCE, remove_topic())
    wrong = "not_authentic" if f.symmetric else "bad_signature"
    begin, end = 26 + f.sizes.ciphertext, len(good) - f.sizes.signature
    signed = [] if f.symmetric else [ignored(flipped(good, 26), NOW, wrong), ignored(flipped(good, end), NOW, wrong)]
    nobody = f.sealed(SEQUENCE, plain(remove_topic()), device=f.mallory.public)
    checks = [
        ignored(b"", NOW, "bad_length"),
        ignored(good[: 42 + f.sizes.ciphertext + f.sizes.signature], NOW, "bad_length"),
        ignored(f.sealed(SEQUENCE, plain(remove_topic()), prefix=b"\x01\x01"), NOW, "bad_version"),
        ignored(f.sealed(SEQUENCE, plain(remove_topic()), prefix=b"\x02\x02"), NOW, "bad_version"),
        ignored(f.sealed(FIRST - 1, plain(remove_topic()), wire_name="other"), NOW, "replayed"),
        ignored(flipped(good, 2), NOW, wrong),
        ignored(flipped(good, 25), NOW, wrong),
        ignored(flipped(good, begin), NOW, wrong),
        ignored(flipped(good, end - 1), NOW, wrong),
        *signed,
        ignored(good[:-1], NOW, wrong),
        ignored(f.sealed(SEQUENCE, plain(remove_topic()), wire_name="other"), NOW, wrong),
        ignored(f.sealed(SEQUENCE, plain(remove_topic()), client=f.alice.client), NOW, wrong),
        ignored(nobody, NOW, wrong),
    ]
    if not f.symmetric:
        checks.append(ignored(f.command(SEQUENCE, remove_topic(), c2="another c2"), NOW, wrong))
    return [
        f.story(
            "what does not open is not answered and changes nothing",
            [f.enrolled(), *checks, applied(good, digest=f.digest([], peers_of(f)))],
        )
    ]


def refused_commands(f: Fleet) -> list[Json]:
    full = f.digest([(TOPIC, EPOCH, EPOCH, KEY)], peers_of(f))
    cases = [*malformed(f), *bad_keys(f), *conflicts(f)]
    steps = [
        declined(f.sealed(SEQUENCE + number, data), NOW, kind, full) | {"why": why}
        for number, (why, data, kind) in enumerate(cases)
    ]
    return [
        f.story(
            "each refusal; nothing of such a command is obeyed",
            [f.enrolled(), *steps, f.delivered(f.message())],
        )
    ]


Case = tuple[str, bytes, str]


def malformed(f: Fleet) -> list[Case]:
    head, good = le(NOW, 8), plain(set_topic())
    foreign: list[Entry] = (
        [(0x04, bytes(16)), (0x05, b""), (0x06, bytes(24)), (0x07, b""), (0x08, bytes(16))]
        if f.symmetric
        else [(0x02, bytes_of("new device key"))]
    )
    return [
        ("half of issued", head[:4], "bad_command_length"),
        ("no entry", head, "bad_command_length"),
        ("half a length", head + b"\x01", "bad_command_length"),
        ("an entry of length 0", head + b"\x00\x00", "bad_command_length"),
        ("an entry cut short", good[:-1], "bad_command_length"),
        ("a byte after the last entry", good + b"\x00", "bad_command_length"),
        ("an argument too long", plain((0x00, bytes(33))), "bad_command_length"),
        ("no arguments", plain((0x03, b"")), "bad_command_length"),
        ("a good entry, then a bad one", plain(RESET_TOPICS, (0x01, b"\x00")), "bad_command_length"),
        ("an opcode of nobody", plain((0x0A, b"")), "unknown_command"),
        ("opcode 255", plain((0xFF, bytes(16))), "unknown_command"),
        ("length before opcode", plain((0x0A, b""), (0x01, b"\x00")), "bad_command_length"),
        ("opcode before suite", plain(foreign[0], (0x0A, b"")), "unknown_command"),
        *((f"opcode {entry[0]} in this suite", plain(entry), "unsupported") for entry in foreign),
        ("use = 2", plain(set_topic(use=2)), "unsupported"),
        ("all or nothing", plain(RESET_TOPICS, (0x0A, b"")), "unknown_command"),
    ]


def bad_keys(f: Fleet) -> list[Case]:
    cases = [("a topic key of zeros", plain(set_topic(EPOCH + 1, bytes(32))), "bad_key")]
    if f.symmetric:
        return [*cases, ("a device key of zeros", plain((0x02, bytes(32))), "bad_key")]
    missing: Entry = (0x04, bytes_of("nobody", 16))
    cases += [
        ("a public key that is not held", plain(missing), "pubkey_missing"),
        ("a bad key first, though it comes last", plain(missing, set_topic(EPOCH + 1, bytes(32))), "bad_key"),
        ("removed twice", plain((0x04, f.alice.client), (0x04, f.alice.client)), "pubkey_missing"),
    ]
    if f.sizes.wire_name != "fips-pk":
        return cases
    off_curve = flipped(f.signature_public(f.alice), 64)
    kem = f.alice.public[f.sizes.signature_public :]
    return [
        *cases,
        ("no point of the curve", plain((0x06, f.alice.client + off_curve + bytes(8))), "bad_key"),
        ("the point at infinity", plain((0x06, f.alice.client + b"\x04" + bytes(64) + bytes(8))), "bad_key"),
        ("a compressed point", plain((0x06, f.alice.client + b"\x02" + bytes(64) + bytes(8))), "bad_key"),
        ("a bad KEM key of the C2", plain((0x07, flipped(kem, 64) + f.signature_public(f.alice))), "bad_key"),
        ("a bad signature key of the C2", plain((0x07, kem + off_curve)), "bad_key"),
    ]


def conflicts(_f: Fleet) -> list[Case]:
    return [
        ("epoch 0", plain(set_topic(0, topic=OTHER)), "epoch_conflict"),
        ("another key for an epoch", plain(set_topic(key=NEW_KEY)), "epoch_conflict"),
        ("an epoch below the newest", plain(set_topic(EPOCH - 1, NEW_KEY)), "epoch_conflict"),
        ("twice in one command", plain(set_topic(EPOCH + 1, NEW_KEY), set_topic(EPOCH + 1, OLD_KEY)), "epoch_conflict"),
        ("after a good one", plain(set_topic(topic=OTHER), set_topic(key=NEW_KEY)), "epoch_conflict"),
    ]
