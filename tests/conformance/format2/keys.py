# SPDX-License-Identifier: Apache-2.0
"""Stories about changes of keys and about reports (`format2.md` sections 3.5 and 4)."""

from __future__ import annotations

from tests.conformance.format2.commands import peers_of
from tests.conformance.format2.fleet import (
    EPOCH,
    KEY,
    NEW_KEY,
    NOW,
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
    ignored,
    le,
    not_sent,
    plain,
    refused,
    sent,
    set_topic,
)


def reader(f: Fleet, name: str, c2: str = "c2", device: bytes = b"") -> Json:
    """Keys with which the C2 reads reports."""
    return {"name": name, "c2_private": f.c2(c2).hex(), "device_public": (device or f.bob.public).hex()}


def own_keys(f: Fleet) -> list[Json]:
    return device_key(f) if f.symmetric else [*c2_key(f), *made_by_the_device(f)]


def device_key(f: Fleet) -> list[Json]:
    new, newer = bytes_of("new device key"), bytes_of("newer device key")
    change, again = f.command(SEQUENCE, (0x02, new)), f.command(SEQUENCE + 1, (0x02, newer))
    old_key, new_key = f.command(SEQUENCE + 2, RESET_TOPICS), f.command(SEQUENCE + 3, set_topic(), device=new)
    readers = [reader(f, "old"), reader(f, "new", device=new), reader(f, "newer", device=newer)]
    return [
        f.story(
            "a device key is pending until a command opens under it",
            [
                f.enrolled() | {"reports": [ack(SEQUENCE - US, reader="old")]},
                applied(change) | {"reports": [ack(SEQUENCE, reader="new")]},
                already(change, NOW, ack(SEQUENCE, "already", reader="new")),
                RESTART,
                {"op": "hello", "now": NOW, "result": "ok", "reports": [{"kind": "hello", "reader": "new"}]},
                applied(old_key) | {"reports": [ack(SEQUENCE + 2, reader="new")]},
                applied(new_key) | {"reports": [ack(SEQUENCE + 3, reader="new")]},
                ignored(f.command(SEQUENCE + 4, RESET_TOPICS), NOW, "not_authentic"),
                RESTART,
                ignored(f.command(SEQUENCE + 4, RESET_TOPICS), NOW, "not_authentic"),
                f.delivered(f.message()),
            ],
            readers=readers,
        ),
        f.story(
            "a second new key replaces the first",
            [
                f.enrolled(),
                applied(change),
                applied(again) | {"reports": [ack(SEQUENCE + 1, reader="newer")]},
                ignored(new_key, NOW, "not_authentic"),
                applied(f.command(SEQUENCE + 4, RESET_TOPICS, device=newer)),
            ],
            readers=readers,
        ),
        f.story(
            "the key is not taken over by a repeated or a refused command",
            [
                f.enrolled(),
                applied(change),
                already(f.command(SEQUENCE, (0x02, new), device=new), NOW, ack(SEQUENCE, "already", reader="new")),
                declined(f.command(SEQUENCE + 1, (0x0A, b""), device=new), NOW, "unknown_command"),
                applied(old_key),
            ],
            readers=readers,
        ),
    ]


def c2_key(f: Fleet) -> list[Json]:
    cut = f.sizes.signature_public
    new = f.maker.public(f.sizes, f.c2("new c2"))
    change = f.command(SEQUENCE, (0x07, new[cut:] + new[:cut]))
    former = f.command(SEQUENCE + 1, RESET_TOPICS)
    current = f.command(SEQUENCE + 2, set_topic(), c2="new c2")
    readers = [reader(f, "old"), reader(f, "new", "new c2")]
    return [
        f.story(
            "the C2's former pair stays until a command opens under the new one",
            [
                f.enrolled() | {"reports": [ack(SEQUENCE - US, reader="old")]},
                applied(change) | {"reports": [ack(SEQUENCE, reader="new")]},
                RESTART,
                applied(former) | {"reports": [ack(SEQUENCE + 1, reader="new")]},
                applied(current) | {"reports": [ack(SEQUENCE + 2, reader="new")]},
                ignored(f.command(SEQUENCE + 3, RESET_TOPICS), NOW, "bad_signature"),
                f.delivered(f.message()),
            ],
            readers=readers,
        )
    ]


def made_by_the_device(f: Fleet) -> list[Json]:
    nonce, other = bytes_of("nonce", 16), bytes_of("another nonce", 16)
    change = f.command(SEQUENCE, (0x08, nonce))
    offer = {"kind": "offer", "nonce": nonce.hex(), "last": SEQUENCE, "reader": "first"}
    old_key = f.command(SEQUENCE + 1, RESET_TOPICS)
    again = f.command(SEQUENCE + 2, (0x08, nonce))
    renewed = f.command(SEQUENCE + 3, (0x08, other))
    switch = {"op": "to_offered", "now": NOW, "sequence": SEQUENCE + 4, "plain": plain(set_topic()).hex()}
    first = ack(SEQUENCE, reader="first")
    return [
        f.story(
            "a device makes its own pairs, and uses them when a command opens under them",
            [
                f.enrolled(),
                applied(change) | {"reports": [first, offer | {"pairs": "new"}]},
                already(change, NOW, ack(SEQUENCE, "already"), offer | {"pairs": "same"}),
                RESTART,
                applied(old_key),
                applied(again) | {"reports": [ack(SEQUENCE + 2), offer | {"pairs": "same", "last": SEQUENCE + 2}]},
                applied(renewed)
                | {
                    "reports": [ack(SEQUENCE + 3), offer | {"pairs": "new", "nonce": other.hex(), "last": SEQUENCE + 3}]
                },
                switch | {"result": "ok", "outcome": "applied", "reports": [ack(SEQUENCE + 4, reader="offered")]},
                ignored(f.command(SEQUENCE + 5, RESET_TOPICS), NOW, "bad_signature"),
                sent(NOW, 0, "new"),
                {"op": "unprotect_own", "now": NOW, "topic": TOPIC, "result": "ok", "returned": b"x".hex()},
            ],
        )
    ]


def public_keys(f: Fleet) -> list[Json]:
    """Previous keys of other clients; nothing in symmetric suites."""
    if f.symmetric:
        return []
    renewed = f.member("alice, renewed")
    new = type(renewed)(f.alice.client, renewed.private, renewed.public)

    def digest(*peers: tuple[bytes, bytes]) -> str:
        return f.digest([(TOPIC, EPOCH, EPOCH, KEY)], peers)

    both = [(new.client, f.signature_public(new)), (f.mallory.client, f.signature_public(f.mallory))]
    messages = [f.message(sequence=n, session=bytes_of("alice's", 8)) for n in range(4)]
    removal: Entry = (0x04, f.alice.client)
    return [
        f.story(
            "a previous key verifies until its second, no longer",
            [
                f.enrolled(),
                f.delivered(messages[0]),
                applied(f.command(SEQUENCE, f.set_peer(new, NOW + 60)), digest=digest(*both)),
                f.delivered(messages[1], NOW + 59.5),
                refused(messages[2], "bad_signature", NOW + 60),
                f.delivered(f.message(sender=new, sequence=9)),
                applied(f.command(SEQUENCE + 1, f.set_peer(new, NOW + 3600)), digest=digest(*both)),
                refused(messages[2], "bad_signature", NOW + 61, why="a limit never rises"),
            ],
        ),
        f.story(
            "no time for the previous key, and removal",
            [
                f.enrolled(),
                applied(f.command(SEQUENCE, f.set_peer(new))),
                refused(messages[0], "bad_signature"),
                applied(f.command(SEQUENCE + 1, removal), digest=digest(both[1])),
                refused(messages[0], "unknown_sender"),
                applied(f.command(SEQUENCE + 2, f.set_peer(f.alice)), digest=digest(peers_of(f)[0], both[1])),
                f.delivered(messages[0]),
                applied(f.command(SEQUENCE + 3, (0x05, b"")), digest=digest()),
                refused(messages[1], "unknown_sender"),
            ],
        ),
    ]


def reports(f: Fleet) -> list[Json]:
    def hello(now: float, **more: object) -> Json:
        content = {"kind": "hello", "nonce": "fresh", **more}
        return {"op": "hello", "now": now, "result": "ok", "reports": [content], "synchronised": False}

    def sync(number: int, now: float, nonce: str, synchronised: bool, time: float = NOW) -> Json:
        step = {"op": "sync", "now": now, "sequence": SEQUENCE + number, "nonce": nonce, "time_ms": int(time * 1000)}
        due = {"result": "ok", "outcome": "applied", "reports": [ack(SEQUENCE + number)]}
        return {**step, **due, "synchronised": synchronised}

    empty, full = f.digest(), f.digest([(TOPIC, EPOCH, EPOCH, KEY)], peers_of(f))
    two = f.digest([(TOPIC, EPOCH, EPOCH, KEY), (OTHER, 0, EPOCH + 1, NEW_KEY)], peers_of(f))
    unknown: Entry = (0x09, bytes_of("nonce of nobody", 16) + le(NOW * 1000, 8))
    return [
        f.story(
            "a hello says what is held, and a Sync with the newest nonce answers it",
            [
                hello(NOW, last=0, digest=empty),
                f.enrolled(),
                hello(NOW, last=SEQUENCE - US, digest=full),
                sync(0, NOW + 1, "newest", True),
                hello(NOW + 2, last=SEQUENCE, digest=full),
                hello(NOW + 3),
                hello(NOW + 4),
                applied(f.command(SEQUENCE + 2, unknown), NOW + 5, synchronised=False),
                sync(3, NOW + 5, "before", True),
                applied(f.command(SEQUENCE + 4, set_topic(EPOCH + 1, NEW_KEY, topic=OTHER, use=0)), digest=two),
            ],
        ),
        f.story(
            "a device without a clock waits for its first Sync",
            [
                f.enrolled(now=5),
                not_sent(6, "clock_unset"),
                not_sent(6, "topic_key_missing", OTHER),
                refused(f.message(), "clock_unset", 6),
                refused(b"", "clock_unset", 6),
                hello(10),
                sync(0, 20.5, "newest", False, NOW - 600),
                not_sent(21, "clock_unset"),
                hello(1000),
                hello(1005),
                sync(1, 1010, "before", True, NOW),
                f.delivered(f.message(), 1011),
                sent(1011.5, 0, "new") | {"timestamp": NOW + 1},
            ],
            clock=False,
        ),
        f.story(
            "a device without a clock takes no time after the last epoch",
            [
                f.enrolled(now=5),
                hello(10),
                sync(0, 11, "newest", False, 2**32),
                not_sent(12, "clock_unset"),
                sync(1, 13, "newest", True, NOW),
                hello(1000),
                sync(2, 1001, "newest", False, 2**40),
                sent(1001.5, 0, "new") | {"timestamp": NOW + 988},
            ],
            clock=False,
        ),
    ]
