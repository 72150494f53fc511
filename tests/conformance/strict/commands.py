# SPDX-License-Identifier: Apache-2.0
"""Stories about commands: their order, and what becomes of previous keys."""

from __future__ import annotations

from tests.conformance.strict.fleet import (
    KEY,
    NEW_KEY,
    NOW,
    OLD_KEY,
    OTHER,
    TOPIC,
    Fleet,
    Json,
    applied,
    bytes_of,
    declined,
    refused,
    restart,
)


def command_order(f: Fleet) -> list[Json]:
    first, second = f.command(f.set_topic(KEY), NOW), f.command(f.set_topic(NEW_KEY), NOW + 1)
    together = [f.command(f.set_topic(key, OTHER), NOW) for key in (OLD_KEY, NEW_KEY)]
    far = f.command(f.set_topic(NEW_KEY), NOW + 86400)
    zero = f.command(f.set_topic(bytes(32)), NOW + 5)
    new = f.topics(NEW_KEY, KEY, NOW + 1)
    after_both = {"topics": f.topics(NEW_KEY, OLD_KEY, NOW, OTHER)}
    empty = f.state(topics={})
    # what a clock a day ahead leaves behind, here and at the C2
    ahead = f.state(topics={}, command_second=NOW + 86400)
    return [
        f.story(
            "an exact replay of a command is refused, also after a restart",
            [
                applied(first, NOW, after={"command_second": NOW}),
                declined(first, NOW, "replayed", "already"),
                restart(command_second=NOW),
                declined(first, NOW + 600, "replayed", "already"),
            ],
        ),
        f.story(
            "a command older than the newest one is refused, so no topic key is rolled back",
            [
                applied(first, NOW + 1),
                applied(second, NOW + 1, after={"topics": new, "command_second": NOW + 1}),
                declined(first, NOW + 2, "timestamp_old", "outdated", after={"topics": new, "command_second": NOW + 1}),
                restart(topics=new),
                declined(first, NOW + 2, "timestamp_old", "outdated", after={"topics": new}),
            ],
            empty,
        ),
        f.story(
            "commands of one second are obeyed in the order in which they come, once each",
            [
                applied(together[0], NOW),
                applied(together[1], NOW, after=after_both),
                declined(together[0], NOW + 1, "replayed", "already", after=after_both),
                declined(together[1], NOW + 1, "replayed", "already", after=after_both),
            ],
            empty,
        ),
        f.story(
            "a refused command does not count as the newest one",
            [declined(zero, NOW + 5, "bad_key", "refused", after={"command_second": 0}), applied(second, NOW + 5)],
        ),
        f.story(
            "after a clock was a day ahead, a command as far ahead as is tolerated is obeyed at once",
            [applied(f.command(f.set_topic(KEY), NOW + 30), NOW, after={"command_second": NOW + 30})],
            ahead,
        ),
        f.story(
            "a clock that was once a day ahead does not deafen the device",
            [
                applied(first, NOW, after={"topics": f.topics(KEY), "command_second": NOW}),
                declined(f.command(f.set_topic(OLD_KEY), NOW - 1), NOW, "timestamp_old", "outdated"),
            ],
            ahead,
        ),
        f.story(
            "what was obeyed while a clock was a day ahead is not obeyed again, neither before nor when that day comes",
            [
                applied(first, NOW),
                applied(far, NOW + 86400),
                declined(first, NOW, "replayed", "already"),
                applied(second, NOW + 1, after={"command_second": NOW + 1}),
                declined(first, NOW + 1, "timestamp_old", "outdated"),
                declined(far, NOW + 86400, "replayed", "already", after={"command_second": NOW + 1}),
            ],
        ),
        f.story(
            "a clock set back by seconds lets nothing through again, and undoes no order",
            [
                applied(first, NOW),
                applied(f.command(f.set_topic(NEW_KEY), NOW + 30), NOW, after={"command_second": NOW + 30}),
                declined(first, NOW - 2, "timestamp_old", "outdated", after={"command_second": NOW + 30}),
                declined(first, NOW - 30, "timestamp_old", "outdated"),
                declined(second, NOW - 2, "timestamp_old", "outdated", after={"command_second": NOW + 30}),
            ],
        ),
        f.story(
            "at or below the floor of commands nothing is obeyed, whatever was the newest",
            [
                declined(first, NOW + 1, "timestamp_old", "outdated"),
                applied(second, NOW + 1, after={"command_floor": NOW}),
            ],
            f.state(command_floor=NOW, command_second=NOW + 86400),
        ),
    ]


def previous_keys(f: Fleet) -> list[Json]:
    rotated = NOW - 3600
    old = f.message(b"x", NOW, OLD_KEY)
    held = f.state(topics=f.topics(KEY, OLD_KEY, rotated))
    both = {**f.topics(KEY, OLD_KEY, rotated), **f.topics(NEW_KEY, OLD_KEY, rotated - 1, OTHER)}
    two = {**f.topics(KEY, OLD_KEY, rotated), **f.topics(NEW_KEY, OLD_KEY, rotated, OTHER)}
    neither = {**f.topics(KEY), **f.topics(NEW_KEY, topic=OTHER)}
    kept = {**f.topics(KEY, OLD_KEY, rotated), **f.topics(NEW_KEY, topic=OTHER)}
    nothing = f.command(f.remove_topic("a topic that is not set"), NOW)
    third = bytes_of("third topic key")
    return [
        f.story("the previous key opens for 3600 s", [f.delivered(old, NOW, b"x")], held),
        f.story("the previous key opens nothing after 3600 s", [refused(old, NOW + 0.5, "timestamp_old")], held),
        f.story(
            "an expired previous key is erased by the next command, of whatever topic",
            [applied(nothing, NOW, after={"topics": kept})],
            f.state(topics=both),
        ),
        f.story(
            "an expired previous key is erased when the mark is raised, and not before it expires",
            [
                {**f.delivered(f.message(b"x", NOW), NOW, b"x"), "after": {"topics": two}},
                {**f.delivered(f.message(b"x", NOW + 6), NOW + 6, b"x"), "after": {"topics": neither}},
            ],
            f.state(topics=two),
        ),
        f.story(
            "an expired previous key is erased when the first message of a run is sent",
            [{"op": "protect", "now": NOW, "topic": TOPIC, "payload": "78", "result": "ok", "after": {"topics": kept}}],
            f.state(topics=both),
        ),
        f.story(
            "RemoveTopic erases the previous key",
            [applied(f.command(f.remove_topic(TOPIC), NOW), NOW, after={"topics": {}})],
            held,
        ),
        f.story(
            "a second rotation erases the first key",
            [
                applied(f.command(f.set_topic(NEW_KEY), NOW), NOW + 0.5, after={"topics": f.topics(NEW_KEY, KEY, NOW)}),
                applied(
                    f.command(f.set_topic(third), NOW + 1), NOW + 1, after={"topics": f.topics(third, NEW_KEY, NOW + 1)}
                ),
                refused(f.message(b"x", NOW, KEY), NOW + 1, "not_authentic"),
                f.delivered(f.message(b"x", NOW, NEW_KEY), NOW + 1, b"x"),
            ],
        ),
    ]
