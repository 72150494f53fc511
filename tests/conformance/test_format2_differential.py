# SPDX-License-Identifier: Apache-2.0
"""Two implementations of one specification live through the same made-up histories, and must not differ in anything."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from e4conformance.format2 import Story
from e4conformance.vectorfile import VectorFile
from tests.conformance.format2.fleet import (
    CLOSE,
    EPOCH,
    NO_LIMIT,
    NOW,
    OTHER,
    RESET_TOPICS,
    RESTART,
    SEQUENCE,
    TOPIC,
    Entry,
    Fleet,
    Json,
    bytes_of,
    flipped,
    remove_topic,
    set_topic,
)
from tests.conformance.format2.project_maker import ProjectMaker
from tests.conformance.format2.sizes import SIZES
from tests.conformance.format2.witness_player import Player
from tests.conformance.suites2 import suite_of

FLEETS = {sizes.wire_name: Fleet(sizes, ProjectMaker(suite_of)) for sizes in SIZES[:2]}
FILE = VectorFile("made up", "format2", {}, suite_of)
HISTORIES = 60
"""Of 40 steps each."""


def one_of(draw: Random, *values: Any) -> Any:
    return draw.choice(values)


class Author:
    """Makes up one history; knows what time it is, and what was sent."""

    def __init__(self, fleet: Fleet, draw: Random) -> None:
        self.fleet, self.draw = fleet, draw
        self.now: float = NOW
        self.last = SEQUENCE
        self.sealed: list[bytes] = []
        self.device = fleet.bob.public
        self.sending: set[int] = set()
        self.highest, self.removed = EPOCH, False
        self.validity = one_of(draw, 0, 0, 60, 600)
        """One for each history: when a session that is too old is forgotten is free, and shows where validities change."""

    def step(self) -> list[Json]:
        self.now += one_of(self.draw, 0, 0, 0, 0.5, 1, 5, 30, 61, 600)
        tell = one_of(
            self.draw, *[self.unprotect] * 8, *[self.command] * 5, self.protect, self.hello, self.sync, self.stop
        )
        return [{"now": self.now, **each} for each in tell()]

    # ---- messages

    def unprotect(self) -> list[Json]:
        if self.sealed and one_of(self.draw, True, False, False):
            data = one_of(self.draw, *self.sealed[-6:])
        else:
            data = self.message()
            self.sealed.append(data)
        if one_of(self.draw, *[False] * 7, True):
            data = flipped(data, self.draw.randrange(len(data)))
        return [{"op": "unprotect", "topic": one_of(self.draw, TOPIC, TOPIC, TOPIC, OTHER), "protected": data.hex()}]

    def message(self) -> bytes:
        f, draw = self.fleet, self.draw
        epoch = EPOCH + one_of(draw, 0, 0, 0, 1, 1, 2, 3, 9)
        return f.message(
            sender=one_of(draw, f.alice, f.alice, f.mallory, f.bob, f.member("stranger")),
            epoch=epoch,
            key=self.key(epoch),
            timestamp=int(self.now) + one_of(draw, 0, 0, 0, -1, -2, 1, 30, 31, -60, -61, -600),
            session=bytes_of(f"session {draw.randint(0, 11)}", 8),
            sequence=one_of(draw, 0, 0, 1, 2, 3, 1024, 1025, 1026, 3000, 2**32 - 1),
        )

    def key(self, epoch: int) -> bytes:
        return bytes_of(f"key {epoch if one_of(self.draw, *[True] * 9, False) else 'other'}")

    def protect(self) -> list[Json]:
        topic = one_of(self.draw, TOPIC, TOPIC, OTHER)
        sent = {"op": "protect", "topic": topic, "payload": b"x".hex()}
        return [sent, {"op": "unprotect_own", "topic": one_of(self.draw, topic, TOPIC)}]

    # ---- commands

    def command(self) -> list[Json]:
        entries = [self.entry() for _ in range(one_of(self.draw, 1, 1, 2, 3))]
        self.last += one_of(self.draw, 1, 1, 1, 1, 0, -1, 10**6)
        device = one_of(self.draw, self.device, self.device, self.fleet.bob.public)
        data = self.fleet.command(self.last, *entries, device=device)
        for opcode, args in entries:
            self.device = args if opcode == 0x02 else self.device
            self.removed |= opcode in (0x00, 0x01)
        return [{"op": "command", "protected": data.hex()}]

    def entry(self) -> Entry:
        f, draw = self.fleet, self.draw
        peer = one_of(draw, f.alice, f.alice, f.mallory, f.bob)
        renewed = f.set_peer(one_of(draw, f.alice, f.mallory), self.until())
        alike: list[Entry] = [remove_topic(one_of(draw, TOPIC, OTHER)), RESET_TOPICS, (0x0A, b""), (0x01, b"\x00")]
        if f.symmetric:
            others: list[Entry] = [(0x02, bytes_of(f"device key {draw.randint(0, 2)}")), (0x05, b"")]
        else:
            others = [
                f.set_peer(peer, self.until()),
                (0x06, peer.client + renewed[1][16:]),
                (0x04, peer.client),
                (0x05, b""),
            ]
        return self.topic() if one_of(draw, *[True] * 6, False, False, False) else one_of(draw, *alike, *others)

    def topic(self) -> Entry:
        draw = self.draw
        epoch = one_of(draw, 0, *[EPOCH] * 4, *[EPOCH + 1] * 3, EPOCH + 2, *(EPOCH + n for n in range(3, 12)))
        # a C2 sends no epoch again that was newer once; how far floors rise should it do so is free
        self.highest = max(self.highest, epoch)
        epoch = self.highest if self.removed else epoch
        return set_topic(
            epoch,
            one_of(draw, *[self.key(epoch)] * 9, bytes(32)),
            topic=one_of(draw, TOPIC, TOPIC, TOPIC, OTHER),
            use=self.use(epoch),
            validity=self.validity,
            not_after=one_of(draw, 0, 0, 0, self.until()),
            older=self.until(),
        )

    def use(self, epoch: int) -> int:
        """Never taken back."""
        use: int = 1 if epoch in self.sending else one_of(self.draw, 1, 1, 1, 0, 0, 2)
        if use == 1:
            self.sending.add(epoch)
        return use

    def until(self) -> int:
        return int(one_of(self.draw, 0, 0, NO_LIMIT, int(self.now), *(int(self.now) + n for n in (1, 30, 600))))

    # ---- the rest

    def hello(self) -> list[Json]:
        return [{"op": "hello"}]

    def sync(self) -> list[Json]:
        self.last += 1
        sent = {"op": "sync", "sequence": self.last, "nonce": "newest", "time_ms": int(self.now * 1000)}
        return [{"op": "hello"}, sent | {"now": self.now + one_of(self.draw, 0, 10, 11)}]

    def stop(self) -> list[Json]:
        return one_of(self.draw, [RESTART], [CLOSE, RESTART])  # type: ignore[no-any-return]


def readers(fleet: Fleet) -> list[Json]:
    keys = [fleet.bob.public] + [bytes_of(f"device key {n}") for n in range(3) if fleet.symmetric]
    return [{"name": str(n), "c2_private": fleet.c2().hex(), "device_public": key.hex()} for n, key in enumerate(keys)]


def history(fleet: Fleet, draw: Random) -> Json:
    author = Author(fleet, draw)
    author.sending.add(EPOCH)
    first = fleet.enrolled(set_topic(key=bytes_of(f"key {EPOCH}"), validity=author.validity))
    steps = [first, *(step for _ in range(40) for step in author.step())]
    return fleet.story("made up", steps, readers=readers(fleet), skew_s=one_of(draw, 30, 30, 5))


REACHED = {
    *("bad_version", "topic_key_missing", "epoch_unknown", "epoch_retired", "timestamp_future", "timestamp_old"),
    *("replayed", "not_authentic", "bad_command_length", "unknown_command", "unsupported", "bad_key"),
    *("epoch_conflict", "unprotect ok", "unprotect_own ok", "protect ok"),
    *("command applied", "command already", "sync applied"),
}
REACHED_WITH_SIGNATURES = {"unknown_sender", "bad_signature", "pubkey_missing", "key_expired"}


@pytest.mark.parametrize("suite", FLEETS)
def test_two_implementations_agree_on_every_history_and_histories_reach_every_outcome(suite: str) -> None:
    fleet = FLEETS[suite]
    missing = REACHED | (set() if fleet.symmetric else REACHED_WITH_SIGNATURES)
    for seed in range(HISTORIES):
        story = history(fleet, Random(seed))
        ours, theirs = Story(FILE, story), Player(story)
        for number, step in enumerate(story["steps"]):
            facets = theirs.facets(step)
            assert ours.facets(step) == facets, f"step {number} of {story}"
            missing -= {facets.get("kind"), f"{step['op']} {facets.get('outcome', facets['result'])}"}
    assert not missing, "else this shows little"
