# SPDX-License-Identifier: Apache-2.0
"""Single reports, as the C2 reads or refuses them (`format2.md` sections 4.1 and 4.5)."""

from __future__ import annotations

from tests.conformance.format2.fleet import SEQUENCE, Fleet, Json, bytes_of, flipped, le
from tests.conformance.format2.sealed import named

DIGEST, NONCE = bytes_of("digest", 16), bytes_of("nonce", 16)
HEAD = le(SEQUENCE, 8) + DIGEST
HELLO = b"\x00" + HEAD + NONCE


def ack(outcome: int = 0, error: int = 0) -> bytes:
    return b"\x01" + HEAD + le(SEQUENCE, 8) + bytes(8) + bytes([outcome, error])


def sealed(
    f: Fleet, plain: bytes, sequence: int = 0, *, wire_name: str = "", prefix: bytes = b"\x02\x02", member: str = "bob"
) -> bytes:
    header = prefix + le(sequence, 8) + bytes_of("salt of a report", 16)
    c2 = b"" if f.symmetric else f.maker.public(f.sizes, f.c2())
    name, device = wire_name or f.sizes.wire_name, f.member(member)
    return f.maker.report(f.sizes, f.bob.client, device.private, c2, header, plain, name)


def entry(f: Fleet, name: str, data: bytes, **due: object) -> Json:
    keys = {"client_id": f.bob.client.hex(), "c2_private": f.c2().hex(), "device_public": f.bob.public.hex()}
    return named(f, name, {**keys, "protected": data.hex(), **due})


def read_reports(f: Fleet) -> list[Json]:
    common = {"result": "ok", "last": SEQUENCE, "digest": DIGEST.hex()}
    subject = {**common, "report": "ack", "subject": SEQUENCE}
    return [
        entry(f, "hello", sealed(f, HELLO), **common, report="hello", nonce=NONCE.hex()),
        entry(f, "applied", sealed(f, ack(), SEQUENCE), **subject, outcome="applied", error=""),
        entry(f, "already", sealed(f, ack(1), SEQUENCE), **subject, outcome="already", error=""),
        entry(f, "refused", sealed(f, ack(2, 6), SEQUENCE), **subject, outcome="refused", error="epoch_conflict"),
    ]


def refused_reports(f: Fleet) -> list[Json]:
    hello = sealed(f, HELLO)
    wrong = "not_authentic" if f.symmetric else "bad_signature"
    around = 42 + f.sizes.ciphertext + f.sizes.signature
    rest = 18 if f.symmetric else 16 + f.sizes.signature_public + f.sizes.kem_public + f.sizes.signature
    cases = [
        ("nothing", b"", "bad_length"),
        ("without content", hello[:around], "bad_length"),
        ("longer than the longest", sealed(f, b"\x00" + HEAD + bytes(rest + 1)), "bad_length"),
        ("version 1", sealed(f, HELLO, prefix=b"\x01\x02"), "bad_version"),
        ("a command", sealed(f, HELLO, prefix=b"\x02\x01"), "bad_version"),
        ("another suite", sealed(f, HELLO, wire_name="other"), wrong),
        ("another device", sealed(f, HELLO, member="mallory"), wrong),
        ("another sequence", flipped(hello, 2), wrong),
        ("another salt", flipped(hello, 10), wrong),
        ("another byte", flipped(hello, 26 + f.sizes.ciphertext), wrong),
        ("kind 3", sealed(f, b"\x03" + HEAD + NONCE), "bad_report"),
        ("one byte", sealed(f, b"\x00"), "bad_report"),
        ("a short hello", sealed(f, HELLO[:-1]), "bad_report"),
        ("a long hello", sealed(f, HELLO + b"\x00"), "bad_report"),
        ("an ack as long as a hello", sealed(f, b"\x01" + HEAD + NONCE), "bad_report"),
        ("outcome 4", sealed(f, ack(4), SEQUENCE), "bad_report"),
        ("error 7", sealed(f, ack(2, 7), SEQUENCE), "bad_report"),
        ("refused without error", sealed(f, ack(2), SEQUENCE), "bad_report"),
        ("applied with error", sealed(f, ack(0, 1), SEQUENCE), "bad_report"),
        ("a hello with a sequence", sealed(f, HELLO, SEQUENCE), "bad_report"),
        ("an ack of another command", sealed(f, ack(), SEQUENCE + 1), "bad_report"),
    ]
    return [entry(f, name, data, result="error", kind=kind) for name, data, kind in cases]
