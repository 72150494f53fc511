# SPDX-License-Identifier: Apache-2.0
"""Stories about messages: replays, clocks, restarts, and what is sent."""

from __future__ import annotations

from typing import Any

from tests.conformance.strict.fleet import (
    ALICE,
    BOB,
    KEY,
    MALLORY,
    NOW,
    OLD_KEY,
    TOPIC,
    Fleet,
    Json,
    applied,
    close,
    declined,
    flipped,
    refused,
    restart,
)


def message_replay(f: Fleet) -> list[Json]:
    m = f.message(b"x", NOW)
    other, later = f.message(b"y", NOW), f.message(b"x", NOW + 1)
    old = f.message(b"x", NOW, OLD_KEY)
    tampered = "not_authentic" if f.symmetric else "bad_signature"
    reset = f.command(b"\x01", NOW), f.command(f.set_topic(KEY), NOW)
    stories = [
        f.story(
            "an exact replay is refused as long as the window lasts, another message is not",
            [
                f.delivered(m, NOW, b"x"),
                refused(m, NOW, "replayed"),
                f.delivered(other, NOW + 1, b"y"),
                f.delivered(later, NOW + 1, b"x"),
                refused(m, NOW + 600, "replayed"),
                refused(other, NOW + 600, "replayed"),
                refused(m, NOW + 600.5, "timestamp_old"),
            ],
        ),
        f.story(
            "an exact replay under the previous key is refused",
            [f.delivered(old, NOW, b"x"), refused(old, NOW, "replayed")],
            f.state(topics=f.topics(KEY, OLD_KEY, NOW - 60)),
        ),
        f.story(
            "a tampered copy that comes first does not suppress the message",
            [refused(flipped(m, len(m) - 1), NOW, tampered), f.delivered(m, NOW, b"x")],
        ),
        f.story(
            "a topic may be set to deliver what repeats, flagged",
            [f.delivered(m, NOW, b"x"), f.delivered(m, NOW, b"x", repeated=True)],
            repeats=[TOPIC],
        ),
        f.story(
            "ResetTopics clears no memory",
            [
                f.delivered(m, NOW, b"x"),
                applied(reset[0], NOW, after={"topics": {}}),
                applied(reset[1], NOW, after={"topics": f.topics(KEY)}),
                refused(m, NOW, "replayed"),
            ],
        ),
    ]
    return stories if f.symmetric else stories + replay_per_sender(f)


def replay_per_sender(f: Fleet) -> list[Json]:
    m = f.message(b"x", NOW)
    resigned = f.signed(m[:8], m[24:-64], MALLORY)
    removal = f.command(b"\x04" + ALICE.client, NOW), f.command(b"\x06" + ALICE.public + ALICE.client, NOW)
    return [
        f.story(
            "a member who signs another's ciphertext anew does not suppress the original",
            [
                f.delivered(resigned, NOW, b"x", MALLORY),
                f.delivered(m, NOW, b"x", ALICE),
                refused(resigned, NOW, "replayed"),
                refused(m, NOW, "replayed"),
            ],
        ),
        f.story(
            "a sender who is removed and comes back cannot be replayed",
            [
                f.delivered(m, NOW, b"x"),
                applied(removal[0], NOW),
                refused(m, NOW, "unknown_sender"),
                applied(removal[1], NOW),
                refused(m, NOW, "replayed"),
            ],
        ),
    ]


def clock_skew(f: Fleet) -> list[Json]:
    """(timestamp - NOW, fraction of the clock beyond NOW) -> outcome; messages, then commands."""
    cases: list[tuple[int, float, str]] = [
        (30, 0, "ok"),
        (31, 0, "timestamp_future"),
        (31, 0.5, "timestamp_future"),
        (-600, 0, "ok"),
        (-600, 0.5, "timestamp_old"),
        (-601, 0, "timestamp_old"),
        (2**63 - NOW, 0, "timestamp_old"),
        (2**64 - 1 - NOW, 0, "timestamp_old"),
    ]
    stories = [clock_case(f, f"{delta:+} s at .{int(part * 10)}", delta, part, kind) for delta, part, kind in cases]
    strict = [(0, 0.0, "ok"), (1, 0.5, "timestamp_future")]
    none = [clock_case(f, f"no skew, {delta:+} s", delta, part, kind, skew_s=0) for delta, part, kind in strict]
    return stories + none


def clock_case(f: Fleet, name: str, delta: int, part: float, kind: str, **more: Any) -> Json:
    m, c, now = f.message(b"x", NOW + delta), f.command(b"\x01", NOW + delta), NOW + part
    steps = (
        [f.delivered(m, now, b"x"), applied(c, now)]
        if kind == "ok"
        else [refused(m, now, kind), declined(c, now, kind, "")]
    )
    return f.story(name, steps, **more)


def restarts(f: Fleet) -> list[Json]:
    m, earlier = f.message(b"x", NOW), f.message(b"x", NOW - 1)
    plus = {n: f.message(b"x", NOW + n) for n in (1, 5, 6)}
    mallorys = f.message(b"x", NOW, sender=MALLORY)
    stories = [
        f.story(
            "the mark is saved only when a message goes beyond it",
            [
                {**f.delivered(m, NOW + 6, b"x"), "after": {"mark": NOW + 5}},
                {**f.delivered(plus[5], NOW + 6, b"x"), "after": {"mark": NOW + 5}},
                {**f.delivered(plus[6], NOW + 6, b"x"), "after": {"mark": NOW + 11}},
            ],
        ),
        f.story(
            "a clean stop keeps what was seen, and nothing else is refused",
            [
                f.delivered(m, NOW, b"x"),
                close(floor=0),
                restart(clean=False, floor=0, seen=[]),
                refused(m, NOW, "replayed"),
                f.delivered(earlier, NOW, b"x"),
                f.delivered(plus[1], NOW + 1, b"x"),
            ],
        ),
        f.story(
            "after an unclean stop all up to the mark is refused",
            [
                f.delivered(m, NOW, b"x"),
                restart(clean=False, floor=NOW + 5, mark=NOW + 5),
                refused(m, NOW, "timestamp_old"),
                refused(plus[1], NOW + 6, "timestamp_old"),
                refused(plus[5], NOW + 6, "timestamp_old"),
                f.delivered(plus[6], NOW + 6, b"x"),
                refused(plus[6], NOW + 6, "replayed"),
            ],
        ),
        f.story(
            "a floor never falls, however often it is started",
            [
                f.delivered(m, NOW, b"x"),
                restart(floor=NOW + 5),
                close(floor=NOW + 5),
                restart(floor=NOW + 5),
                refused(plus[5], NOW + 5, "timestamp_old"),
            ],
        ),
    ]
    unseen = f.story(
        "after an unclean stop the mark holds for senders who were not seen before",
        [f.delivered(m, NOW, b"x"), restart(floor=NOW + 5), refused(mallorys, NOW, "timestamp_old")],
    )
    return stories if f.symmetric else [*stories, unseen]


def sending(f: Fleet) -> list[Json]:
    def sent(payload: bytes, now: float, timestamp: int | None = None) -> Json:
        step = {"op": "protect", "now": now, "topic": TOPIC, "payload": payload.hex(), "result": "ok", "unique": True}
        if timestamp is None:
            return step
        return {**step, "timestamp": timestamp, "protected": f.message(payload, timestamp, sender=BOB).hex()}

    return [
        f.story(
            "no bytes are sent twice: equal payloads take earlier seconds",
            [
                sent(b"first after the start", NOW),
                sent(b"x", NOW + 10, NOW + 8),
                sent(b"x", NOW + 10, NOW + 7),
                sent(b"y", NOW + 10, NOW + 8),
                sent(b"x", NOW + 10.5, NOW + 6),
                sent(b"x", NOW + 11, NOW + 9),
                sent(b"x", NOW + 11, NOW + 5),
            ],
        ),
        f.story("no bytes are sent again after an unclean stop", [sent(b"x", NOW), restart(), sent(b"x", NOW)]),
        f.story(
            "no bytes are sent again after a clean stop",
            [sent(b"x", NOW), sent(b"x", NOW + 10, NOW + 8), close(), restart(), sent(b"x", NOW + 10)],
        ),
        f.story(
            "messages are back-dated by 2 s",
            [sent(b"", NOW), sent(b"x", NOW + 20.9, NOW + 18), sent(b"", NOW + 30, NOW + 28)],
        ),
    ]
