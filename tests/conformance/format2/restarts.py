# SPDX-License-Identifier: Apache-2.0
"""Stories of devices that stop in order, or do not (`format2.md` section 2.7)."""

from __future__ import annotations

from tests.conformance.format2.fleet import CLOSE, NOW, RESTART, Fleet, Json, refused
from tests.conformance.format2.messages import other_session


def restarts(f: Fleet) -> list[Json]:
    m, earlier = f.message(), f.message(sequence=1, timestamp=NOW - 5)
    at = {n: f.message(timestamp=NOW + n, session=other_session(str(n))) for n in (5, 6)}
    mallorys = f.message(sender=f.mallory, timestamp=NOW + 5)
    return [
        f.story(
            "a stop in order keeps what was seen",
            [f.enrolled(), f.delivered(m), CLOSE, RESTART, refused(m, "replayed"), f.delivered(earlier)],
        ),
        f.story(
            "after a crash all up to the mark is refused, of senders never seen too",
            [
                f.enrolled(),
                f.delivered(m),
                RESTART,
                refused(m, "timestamp_old"),
                refused(at[5], "timestamp_old"),
                refused(mallorys, "timestamp_old"),
                f.delivered(at[6]),
                refused(at[6], "replayed"),
            ],
        ),
        f.story(
            "a stop in order lowers no floor",
            [f.enrolled(), f.delivered(m), RESTART, CLOSE, RESTART, refused(at[5], "timestamp_old")],
        ),
        f.story(
            "a crash right after a stop in order and a start",
            [f.enrolled(), f.delivered(m), CLOSE, RESTART, RESTART, refused(m, "timestamp_old")],
        ),
        f.story("what was accepted before a crash stays refused when its session goes on", going_on(f)),
    ]


def going_on(f: Fleet) -> list[Json]:
    def numbered(sequence: int, timestamp: int) -> bytes:
        return f.message(sequence=sequence, timestamp=timestamp)

    old, new = [numbered(n, NOW + n) for n in range(3)], numbered(5, NOW + 8)
    nothing_again = [refused(each, "timestamp_old", why="the mark was at NOW + 5") for each in old]
    return [
        f.enrolled(),
        *map(f.delivered, old),
        RESTART,
        *nothing_again,
        f.delivered(new),
        *nothing_again,
        refused(numbered(6, NOW + 5), "timestamp_old", why="never seen, but it might have been"),
        f.delivered(numbered(4, NOW + 6), why="late, and sent after the mark"),
        CLOSE,
        RESTART,
        *nothing_again,
        refused(new, "replayed"),
        f.delivered(numbered(6, NOW + 6)),
    ]
