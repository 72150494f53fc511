# SPDX-License-Identifier: Apache-2.0
"""Stories about messages: the checks of a receiver, replays, restarts, and what is sent (`format2.md` section 2)."""

from __future__ import annotations

from tests.conformance.format2.fleet import (
    CLOSE,
    EPOCH,
    NEW_KEY,
    NOW,
    OLD_KEY,
    OTHER,
    RESTART,
    SEQUENCE,
    Fleet,
    Json,
    applied,
    bytes_of,
    flipped,
    not_sent,
    own,
    own_refused,
    refused,
    remove_topic,
    sent,
    set_topic,
)
from tests.conformance.format2.maker import Member
from tests.conformance.format2.signatures import signatures


def other_session(name: str) -> bytes:
    return bytes_of(f"session {name}", 8)


def receiving(f: Fleet) -> list[Json]:
    m, empty = f.message(), f.message(b"", sequence=1)
    wrong = "not_authentic" if f.symmetric else "bad_signature"
    moved = "not_authentic" if f.symmetric else "unknown_sender"
    ahead = f.message(timestamp=NOW + 30, session=other_session("ahead"))
    checks = [
        refused(b"", "bad_length"),
        refused(m[: 56 + f.sizes.signature], "bad_length"),
        refused(f.message(version=1), "bad_version"),
        refused(f.message(version=3), "bad_version"),
        refused(m, "topic_key_missing", topic=OTHER),
        refused(f.message(epoch=EPOCH + 1), "epoch_unknown"),
        refused(f.message(epoch=EPOCH - 1), "epoch_retired"),
        refused(f.message(epoch=0), "epoch_retired"),
        refused(f.message(timestamp=NOW + 31), "timestamp_future"),
        refused(f.message(timestamp=2**64 - 1), "timestamp_future"),
        refused(flipped(m, 5), wrong, why="timestamp"),
        refused(flipped(m, 13), moved, why="sender"),
        refused(flipped(m, 29), wrong, why="session"),
        refused(flipped(m, 37), wrong, why="sequence"),
        refused(flipped(m, 41), wrong, why="first byte of the AEAD output"),
        refused(flipped(m, 57), wrong, why="last byte of the AEAD output"),
        refused(flipped(m, len(m) - 1), wrong, why="last byte"),
        refused(m + b"\x00", wrong, why="a byte more"),
        refused(f.message(topic=OTHER), wrong, why="made for another topic"),
        refused(f.message(wire_name="other"), wrong, why="made in another suite"),
        refused(f.message(key=OLD_KEY), "not_authentic", why="under another key"),
    ]
    good = [f.delivered(m), f.delivered(empty, payload=b""), f.delivered(ahead)]
    stories = [
        f.story("each check by itself; what is refused changes nothing", [f.enrolled(), *checks, *good]),
        f.story("the first check that fails is named", order_of_checks(f, m)),
    ]
    return stories if f.symmetric else [*stories, f.story("who signed it", signatures(f, m))]


def order_of_checks(f: Fleet, m: bytes) -> list[Json]:
    stranger = f.member("stranger")
    unknown = [] if f.symmetric else [refused(f.message(sender=stranger, key=OLD_KEY), "unknown_sender")]
    return [
        f.enrolled(set_topic(validity=600)),
        refused(f.message(version=1)[: 56 + f.sizes.signature], "bad_length"),
        refused(f.message(version=1, epoch=EPOCH + 1), "bad_version", topic=OTHER),
        refused(f.message(epoch=EPOCH + 1, timestamp=NOW + 31), "topic_key_missing", topic=OTHER),
        refused(f.message(epoch=EPOCH + 1, timestamp=NOW + 31), "epoch_unknown"),
        refused(f.message(sender=stranger, timestamp=NOW + 31), "timestamp_future"),
        refused(f.message(sender=stranger, timestamp=NOW - 601), "timestamp_old"),
        *unknown,
        f.delivered(m),
        refused(flipped(m, len(m) - 1), "replayed", why="a replay that is not authentic"),
        refused(m, "timestamp_old", NOW + 601, why="a replay that is too old"),
    ]


def validity(f: Fleet) -> list[Json]:
    def at(timestamp: int) -> bytes:
        return f.message(timestamp=timestamp, session=other_session(str(timestamp)))

    long_ago = at(1)
    return [
        f.story(
            "a validity of 600 s",
            [
                f.enrolled(set_topic(validity=600)),
                f.delivered(at(NOW - 600)),
                refused(at(NOW - 601), "timestamp_old"),
                f.delivered(at(NOW - 599), NOW + 0.5),
                refused(at(NOW - 598), "timestamp_old", NOW + 2.5),
            ],
        ),
        f.story("no validity: any age", [f.enrolled(), f.delivered(long_ago), refused(long_ago, "replayed")]),
        f.story(
            "no skew",
            [f.enrolled(), refused(at(NOW + 1), "timestamp_future", NOW + 0.5), f.delivered(at(NOW + 1), NOW + 1)],
            skew_s=0,
        ),
    ]


def replays(f: Fleet) -> list[Json]:
    def numbered(sequence: int, payload: bytes = b"x", timestamp: int = NOW) -> bytes:
        return f.message(payload, sequence=sequence, timestamp=timestamp)

    m, high = f.message(), numbered(5000)
    again = [f.command(SEQUENCE, remove_topic()), f.command(SEQUENCE + 1, set_topic())]
    evict = f.command(SEQUENCE, set_topic(EPOCH + 1, NEW_KEY))
    late, after = numbered(1), f.message(key=NEW_KEY, epoch=EPOCH + 1, session=other_session("later"))
    stories = [
        f.story(
            "a window of 1024 below the highest sequence",
            [
                f.enrolled(),
                f.delivered(high),
                refused(high, "replayed"),
                refused(numbered(5000, b"another payload"), "replayed"),
                f.delivered(numbered(4999)),
                f.delivered(numbered(5000 - 1024)),
                refused(numbered(5000 - 1024), "replayed"),
                refused(numbered(5000 - 1025), "replayed"),
                f.delivered(numbered(6000)),
                refused(numbered(4975), "replayed"),
                f.delivered(numbered(4976)),
                refused(numbered(4999), "replayed"),
                f.delivered(numbered(2**32 - 1)),
            ],
        ),
        f.story(
            "sequences of another session and of another sender are others",
            [
                f.enrolled(),
                f.delivered(m),
                f.delivered(f.message(session=other_session("second"))),
                f.delivered(f.message(sender=f.mallory)),
                refused(m, "replayed"),
            ],
        ),
        f.story(
            "what is refused takes no sequence",
            [
                f.enrolled(),
                refused(flipped(m, len(m) - 1), "not_authentic" if f.symmetric else "bad_signature"),
                f.delivered(m),
            ],
        ),
        f.story(
            "neither removing a topic nor setting it again opens what was seen",
            [
                f.enrolled(),
                f.delivered(m),
                applied(again[0]),
                refused(m, "topic_key_missing"),
                applied(again[1]),
                refused(m, "replayed"),
            ],
        ),
        f.story(
            "a newer epoch raises no floor: the same second is good under it",
            [
                f.enrolled(),
                f.delivered(m),
                applied(evict),
                refused(late, "epoch_retired"),
                f.delivered(after),
                f.delivered(f.message(key=NEW_KEY, epoch=EPOCH + 1)),
            ],
        ),
    ]
    return stories if f.symmetric else [*stories, nine_sessions(f), pushed_out(f)]


def nine_sessions(f: Fleet) -> Json:
    """Of one sender on one topic 8 are remembered; the one with the earliest newest timestamp goes."""

    def numbered(session: int, timestamp: int, sequence: int = 0, sender: Member | None = None) -> bytes:
        name = other_session(str(session))
        return f.message(sender=sender, timestamp=timestamp, sequence=sequence, session=name)

    first = [f.delivered(numbered(n, NOW - 10 + n)) for n in range(8)]
    return f.story(
        "a ninth session pushes out the one with the earliest newest timestamp",
        [
            f.enrolled(),
            *first,
            f.delivered(numbered(0, NOW - 1, 1), why="now session 1 is the earliest, at NOW - 9"),
            f.delivered(numbered(8, NOW)),
            refused(numbered(1, NOW - 9), "timestamp_old", why="the floor is at NOW - 9"),
            refused(numbered(0, NOW - 10), "replayed"),
            refused(numbered(9, NOW - 9, sender=None), "timestamp_old"),
            f.delivered(numbered(9, NOW - 9, sender=f.mallory), why="a floor is one sender's"),
            f.delivered(numbered(2, NOW - 20, 1), why="no floor for a session in memory"),
        ],
    )


def pushed_out(f: Fleet) -> Json:
    first = [f.message(timestamp=NOW - 10 + n, session=other_session(str(n))) for n in range(9)]
    again = f.message(timestamp=NOW, sequence=1, session=other_session("0"))
    return f.story(
        "a session that was pushed out and comes again brings back nothing",
        [
            f.enrolled(),
            *map(f.delivered, first),
            refused(first[0], "timestamp_old"),
            f.delivered(again, why="it begins anew above the floor, and pushes out session 1"),
            refused(first[0], "timestamp_old", why="the floor from which its session came stays with it"),
            refused(first[1], "timestamp_old"),
            refused(again, "replayed"),
            f.delivered(f.message(timestamp=NOW - 9, sequence=2, session=other_session("0"))),
        ],
    )


def sending(f: Fleet) -> list[Json]:
    topics = set_topic(), set_topic(EPOCH, OLD_KEY, topic=OTHER)
    rotated = f.command(SEQUENCE, set_topic(EPOCH + 1, NEW_KEY))
    first = sent(NOW, 0, "new")
    activated = f.command(SEQUENCE, set_topic(use=1))
    sends = [first, sent(NOW, 1), sent(NOW + 0.9, 2, payload=b"")]
    return [
        f.story(
            "a sequence for each topic and epoch, a session for each start",
            [
                f.enrolled(*topics),
                *sends,
                sent(NOW - 60, 0, topic=OTHER),
                applied(rotated),
                sent(NOW, 0, epoch=EPOCH + 1),
                RESTART,
                sent(NOW, 0, "new", epoch=EPOCH + 1),
                CLOSE,
                RESTART,
                sent(NOW, 0, "new", epoch=EPOCH + 1),
            ],
        ),
        f.story(
            "own messages are messages like any other",
            [f.enrolled(), first, own(NOW, first), own_refused(NOW, "replayed")],
        ),
        f.story(
            "nothing to send with",
            [
                not_sent(NOW, "topic_key_missing"),
                f.enrolled(set_topic(use=0)),
                not_sent(NOW, "topic_key_missing"),
                f.delivered(f.message()),
                applied(activated),
                sent(NOW, 0, "new"),
            ],
        ),
        f.story(
            "an epoch that has expired",
            [
                f.enrolled(set_topic(not_after=NOW)),
                sent(NOW, 0, "new"),
                sent(NOW + 0.5, 1),
                not_sent(NOW + 1, "key_expired"),
            ],
        ),
    ]
