# SPDX-License-Identifier: Apache-2.0
"""Stories about the epochs of topics (`format2.md` section 3.4)."""

from __future__ import annotations

from tests.conformance.format2.commands import peers_of
from tests.conformance.format2.fleet import (
    EPOCH,
    KEY,
    NEW_KEY,
    NO_LIMIT,
    NOW,
    OLD_KEY,
    OTHER,
    RESET_TOPICS,
    SEQUENCE,
    TOPIC,
    Entry,
    Fleet,
    Json,
    applied,
    declined,
    not_sent,
    refused,
    remove_topic,
    sent,
    set_topic,
)


def epochs(f: Fleet) -> list[Json]:
    def old(sequence: int) -> bytes:
        return f.message(sequence=sequence)

    def new(sequence: int, epoch: int = EPOCH + 1) -> bytes:
        return f.message(sequence=sequence, key=NEW_KEY, epoch=epoch)

    def command(number: int, *entries: Entry) -> bytes:
        return f.command(SEQUENCE + number, *entries)

    def held(*topics: tuple[str, int, int, bytes]) -> str:
        return f.digest(topics, peers_of(f))

    ahead = set_topic(EPOCH + 1, NEW_KEY, use=0, older=NO_LIMIT)
    return [
        f.story(
            "a rotation: the old epoch opens until its second, no longer",
            [
                f.enrolled(),
                applied(
                    command(0, set_topic(EPOCH + 1, NEW_KEY, older=NOW + 60)),
                    digest=held((TOPIC, EPOCH + 1, EPOCH + 1, NEW_KEY)),
                ),
                sent(NOW, 0, "new", epoch=EPOCH + 1),
                f.delivered(old(0)),
                f.delivered(old(1), NOW + 59.5),
                refused(old(2), "epoch_retired", NOW + 60),
                refused(old(2), "epoch_retired", NOW, why="it is erased"),
                f.delivered(new(0), NOW),
            ],
        ),
        f.story(
            "a limit never rises",
            [
                f.enrolled(),
                applied(command(0, set_topic(EPOCH + 1, NEW_KEY, older=NOW + 60))),
                applied(command(1, set_topic(EPOCH + 2, OLD_KEY, older=NOW + 3600))),
                refused(old(0), "epoch_retired", NOW + 61),
                f.delivered(new(0), NOW + 61),
                refused(new(1), "epoch_retired", NOW + 3601),
            ],
        ),
        f.story(
            "an epoch sent ahead is activated later",
            [
                f.enrolled(),
                applied(command(0, ahead), digest=held((TOPIC, EPOCH, EPOCH + 1, NEW_KEY))),
                sent(NOW, 0, "new"),
                f.delivered(old(0)),
                f.delivered(new(0)),
                applied(
                    command(1, set_topic(EPOCH + 1, NEW_KEY, older=NOW + 60)),
                    digest=held((TOPIC, EPOCH + 1, EPOCH + 1, NEW_KEY)),
                ),
                sent(NOW, 0, epoch=EPOCH + 1),
                f.delivered(old(1), NOW + 59.5),
                refused(old(2), "epoch_retired", NOW + 60),
            ],
        ),
        f.story(
            "an eviction retires also what was sent ahead",
            [
                f.enrolled(),
                applied(command(0, ahead)),
                applied(command(1, set_topic(EPOCH + 2, OLD_KEY)), digest=held((TOPIC, EPOCH + 2, EPOCH + 2, OLD_KEY))),
                refused(old(0), "epoch_retired"),
                refused(new(0), "epoch_retired"),
                f.delivered(f.message(key=OLD_KEY, epoch=EPOCH + 2)),
                declined(command(2, set_topic(EPOCH + 1, NEW_KEY)), NOW, "epoch_conflict"),
            ],
        ),
        f.story(
            "an expired epoch opens nothing, stays in the digest, and may be prolonged with the same key",
            [
                f.enrolled(set_topic(not_after=NOW)),
                f.delivered(old(0)),
                f.delivered(old(1), NOW + 0.5),
                refused(old(2), "epoch_retired", NOW + 1),
                refused(new(0), "epoch_unknown", NOW + 1),
                not_sent(NOW + 1, "key_expired"),
                applied(command(0, remove_topic(OTHER)), NOW + 1, digest=held((TOPIC, EPOCH, EPOCH, KEY))),
                declined(command(1, set_topic(key=NEW_KEY)), NOW + 1, "epoch_conflict"),
                applied(command(2, set_topic(not_after=NOW + 60)), NOW + 1),
                sent(NOW + 1, 0, "new"),
                refused(old(0), "replayed", NOW + 1),
            ],
        ),
        f.story(
            "a sending epoch that a newer one has retired, which may not send yet",
            [
                f.enrolled(),
                applied(
                    command(0, set_topic(EPOCH + 1, NEW_KEY, use=0)), digest=held((TOPIC, EPOCH, EPOCH + 1, NEW_KEY))
                ),
                not_sent(NOW, "topic_key_missing"),
                refused(old(0), "epoch_retired"),
                f.delivered(new(0)),
            ],
        ),
        f.story(
            "a retired epoch that no longer is the newest to send with has left",
            [
                f.enrolled(),
                applied(command(0, set_topic(EPOCH + 1, NEW_KEY, use=0))),
                applied(command(1, set_topic()), digest=held((TOPIC, EPOCH, EPOCH + 1, NEW_KEY))),
                refused(old(0), "epoch_retired", why="its limit has passed, whatever is sent again"),
                applied(command(2, set_topic(EPOCH + 1, NEW_KEY)), digest=held((TOPIC, EPOCH + 1, EPOCH + 1, NEW_KEY))),
                declined(command(3, set_topic()), NOW, "epoch_conflict"),
            ],
        ),
        f.story(
            "an epoch that comes back after its topic was removed: what was seen is not",
            [
                f.enrolled(),
                f.delivered(old(0)),
                applied(command(0, set_topic(EPOCH + 1, NEW_KEY))),
                applied(command(1, remove_topic())),
                applied(command(2, set_topic())),
                refused(old(0), "timestamp_old"),
                f.delivered(f.message(timestamp=NOW + 1, sequence=1)),
            ],
        ),
        f.story(
            "of nine epochs the lowest goes",
            [
                f.enrolled(),
                *(applied(command(n, set_topic(EPOCH + n, NEW_KEY, use=0, older=NO_LIMIT))) for n in range(1, 8)),
                f.delivered(old(0)),
                applied(command(8, set_topic(EPOCH + 8, NEW_KEY, use=0, older=NO_LIMIT))),
                refused(old(1), "epoch_retired"),
                f.delivered(new(0)),
                f.delivered(new(0, EPOCH + 8)),
                not_sent(NOW, "topic_key_missing"),
            ],
        ),
        f.story(
            "removing",
            [
                f.enrolled(set_topic(), set_topic(topic=OTHER)),
                applied(command(0, remove_topic()), digest=held((OTHER, EPOCH, EPOCH, KEY))),
                applied(command(1, remove_topic()), digest=held((OTHER, EPOCH, EPOCH, KEY))),
                applied(command(2, RESET_TOPICS), digest=held()),
                applied(
                    command(3, RESET_TOPICS, set_topic(EPOCH - 1)), digest=held((TOPIC, EPOCH - 1, EPOCH - 1, KEY))
                ),
            ],
        ),
        f.story(
            "an epoch that comes back: what was seen stays refused when its session goes on",
            [
                f.enrolled(),
                f.delivered(old(0)),
                applied(command(0, set_topic(EPOCH + 1, NEW_KEY))),
                applied(command(1, remove_topic(), set_topic())),
                f.delivered(f.message(timestamp=NOW + 1, sequence=1)),
                refused(old(0), "timestamp_old"),
            ],
        ),
    ]
