# SPDX-License-Identifier: Apache-2.0
"""Stories about what a device reports to the C2 (`format2.md` sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping

from e4core import report
from e4core.keys import ClientId, TopicKey
from tests.conformance.strict.fleet import (
    ALICE,
    BOB,
    KEY,
    MALLORY,
    NEW_KEY,
    NOW,
    OLD_KEY,
    TOPIC,
    Fleet,
    Json,
    applied,
    bytes_of,
    declined,
    member,
)

NONCE = bytes_of("nonce", 16)
SALTS = [bytes_of(f"salt {n}", 16) for n in range(4)]


def reports(f: Fleet) -> list[Json]:
    c2 = {"private": f.c2_private.hex(), "device_public": f.public.hex()}
    empty = f.state(topics={}, peers={})
    sync = f.command(b"\x00" + NONCE, NOW)
    first, older = f.command(f.set_topic(NEW_KEY), NOW), f.command(f.set_topic(OLD_KEY), NOW - 1)
    held, rotated = digest(f, {TOPIC: KEY}), digest(f, {TOPIC: NEW_KEY})

    def hello(digest: bytes, salt: bytes) -> Json:
        given = report.seal(f.suite, f.channel(), ClientId(BOB.client), report.Hello(digest, NONCE), salt)
        content = {"kind": "hello", "last_sequence": 0, "digest": digest.hex(), "nonce": NONCE.hex()}
        return {"op": "hello", "result": "ok", "report": given.hex(), "content": content, "synchronised": False}

    def ack(
        data: bytes, digest: bytes, outcome: str, refusal: str = "", salt: bytes = SALTS[0], public: bytes = b""
    ) -> Json:
        value = report.Ack(digest, data[8:24], report.Outcome[outcome.upper()], refusal)
        given = report.seal(f.suite, f.channel(public), ClientId(BOB.client), value, salt)
        content = {"kind": "ack", "last_sequence": 0, "digest": digest.hex(), "subject": data[8:24].hex()}
        return {"report": given.hex(), "content": {**content, "outcome": outcome, "refusal": refusal}}

    refusals = {
        "bad_command_length": b"\x01\x00",
        "unknown_command": b"\x08",
        "bad_key": f.set_topic(bytes(32)),
        **({"unsupported": b"\x05"} if f.symmetric else {"pubkey_missing": b"\x04" + BOB.client}),
    }
    new_private = bytes_of("new device key") if f.symmetric else member("bob anew").private
    new_public = new_private if f.symmetric else new_private[32:]
    set_id = f.command(b"\x02" + new_private, NOW)
    salts: Json = {"random": [salt.hex() for salt in SALTS], "c2": c2}
    drawn: Json = {"random": [NONCE.hex(), *salts["random"]], "c2": c2}
    return [
        f.story("hello of a device that holds nothing", [hello(digest(f, {}, {}), SALTS[0])], empty, **drawn),
        f.story(
            "hello until the Sync with its nonce comes",
            [
                hello(held, SALTS[0]),
                hello(held, SALTS[1]),
                applied(sync, NOW, synchronised=True, **ack(sync, held, "applied", salt=SALTS[2])),
            ],
            **drawn,
        ),
        f.story(
            "acks of a command that is applied, of its replays and of an older one",
            [
                applied(first, NOW, **ack(first, rotated, "applied")),
                declined(first, NOW, "replayed", "already", **ack(first, rotated, "already", salt=SALTS[1])),
                {**declined(first, NOW + 9, "replayed", "already"), "report": None},
                declined(older, NOW + 9, "timestamp_old", "outdated", **ack(older, rotated, "outdated", salt=SALTS[2])),
                declined(first, NOW + 10, "replayed", "already", **ack(first, rotated, "already", salt=SALTS[3])),
            ],
            **salts,
        ),
        f.story(
            "SetIDKey is acknowledged under the new key",
            [applied(set_id, NOW, **ack(set_id, held, "applied", public=new_public))],
            **{**salts, "c2": {**c2, "device_public": new_public.hex()}},
        ),
        *(
            f.story(
                f"ack of a command refused with {kind}",
                [
                    declined(
                        f.command(plain, NOW), NOW, kind, "refused", **ack(f.command(plain, NOW), held, "refused", kind)
                    )
                ],
                **salts,
            )
            for kind, plain in refusals.items()
        ),
    ]


def digest(f: Fleet, topics: Mapping[str, bytes], peers: Mapping[bytes, bytes] | None = None) -> bytes:
    """State digest of a device with these keys; without ``peers``, with those that bob knows."""
    known = {} if f.symmetric else {m.client: m.public for m in (ALICE, MALLORY)}
    prints = {f.hash(topic): report.fingerprint(f.suite, TopicKey(key)) for topic, key in topics.items()}
    return report.digest(f.suite, prints, known if peers is None else peers)
