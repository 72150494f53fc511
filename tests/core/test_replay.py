# SPDX-License-Identifier: Apache-2.0
"""Replay memory: nothing is accepted twice, within bounds that hold (`wire.md` section 13)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.client import Tolerance
from e4core.command import RemovePubKey, RemoveTopic, ResetTopics, SetPubKey, SetTopicKey
from e4core.errors import NotFresh
from e4core.ready import CAPACITY
from e4core.replay import ReplayMemory
from e4core.suite import Suite
from tests.core.fleet import (
    NOW,
    SECOND,
    TOPIC,
    Device,
    client_id,
    message,
    private_of,
    refused,
    seal,
    sign,
    topic_hash,
    topic_key,
)
from tests.core.strategies import LAW

arrivals = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(0, 12), st.integers(0, 2)))
"""What arrives: tag, second after the window's begin, seconds since the arrival before."""


@LAW
@given(arrivals, st.integers(1, 8))
def test_nothing_is_accepted_twice_and_the_memory_stays_in_its_bounds(
    steps: list[tuple[bytes, int, int]], capacity: int
) -> None:
    memory, accepted, horizon = ReplayMemory(0, capacity), set[tuple[bytes, int]](), 1
    for tag, offset, waited in steps:
        horizon += waited
        floor = memory.floor
        try:
            memory.accept(tag, horizon + offset, horizon)
        except NotFresh:
            continue
        assert (tag, horizon + offset) not in accepted
        accepted.add((tag, horizon + offset))
        assert memory.floor >= floor
        assert len(memory) == sum(len(tags) for _, tags in memory.seconds()) <= capacity


@LAW
@given(arrivals)
def test_all_that_is_fresh_is_accepted_while_there_is_room(steps: list[tuple[bytes, int, int]]) -> None:
    memory, accepted, horizon = ReplayMemory(0, len(steps) + 1), set[tuple[bytes, int]](), 1
    for tag, offset, waited in steps:
        horizon += waited
        if (tag, horizon + offset) not in accepted:
            memory.accept(tag, horizon + offset, horizon)
            accepted.add((tag, horizon + offset))


@pytest.mark.parametrize("capacity", [CAPACITY[False], CAPACITY[True]])
@pytest.mark.parametrize("per_second", [1, 7_000, 100_000])
def test_a_full_memory_forgets_whole_seconds_and_raises_the_floor(capacity: int, per_second: int) -> None:
    memory, refusals, total = ReplayMemory(0, capacity), 0, capacity + 5_000
    for n in range(total):
        try:
            memory.accept(n.to_bytes(16, "big"), 1 + n // per_second, 0)
        except NotFresh:
            refusals += 1
    assert len(memory) <= capacity
    assert memory.floor >= 1
    assert (refusals > 0) == (per_second > capacity)
    for n in range(total):
        with pytest.raises(NotFresh):
            memory.accept(n.to_bytes(16, "big"), 1 + n // per_second, 0)


def test_a_restored_memory_knows_all_that_was_saved() -> None:
    memory = ReplayMemory(90, 100)
    for second in (100, 105, 101, 100):
        memory.accept(b"tag %d %d" % (second, len(memory)), second, 50)
    restored = ReplayMemory(memory.floor, 100)
    restored.restore(dict(memory.seconds()))
    assert dict(restored.seconds()) == dict(memory.seconds())
    assert restored.floor == memory.floor


def test_an_exact_replay_is_refused_before_and_after_a_restart(suite: Suite, device: Device) -> None:
    data = message(suite, b"open", SECOND)
    device.client.unprotect(data, TOPIC, NOW)
    for clean in (True, True, False, True):
        with refused("replayed", "timestamp_old"):
            device.client.unprotect(data, TOPIC, NOW)
        device.restart(clean=clean)
    with refused("replayed", "timestamp_old"):
        device.client.unprotect(data, TOPIC, NOW + 1)


def test_after_a_clean_restart_late_messages_are_still_accepted(suite: Suite, device: Device) -> None:
    for second in (SECOND - 20, SECOND - 10, SECOND):
        device.client.unprotect(message(suite, b"x", second), TOPIC, NOW)
    device.restart(clean=True)
    for late in (SECOND - 500, SECOND - 15, SECOND - 10):
        assert device.client.unprotect(message(suite, b"late", late), TOPIC, NOW).payload == b"late"


def test_after_a_crash_all_up_to_the_mark_is_refused_and_all_after_it_accepted(suite: Suite, device: Device) -> None:
    device.client.unprotect(message(suite, b"x", SECOND), TOPIC, NOW)
    device.restart(clean=False)
    with refused("timestamp_old"):
        device.client.unprotect(message(suite, b"y", SECOND + 5), TOPIC, NOW)
    assert device.client.unprotect(message(suite, b"y", SECOND + 6), TOPIC, NOW).payload == b"y"


def test_the_mark_is_saved_before_a_message_beyond_it_is_accepted(suite: Suite, device: Device) -> None:
    device.store.full = True
    data = message(suite, b"x", SECOND)
    with refused("storage"):
        device.client.unprotect(data, TOPIC, NOW)
    device.store.full = False
    assert device.client.unprotect(data, TOPIC, NOW).payload == b"x"
    saves = len(device.store.saved)
    device.client.unprotect(message(suite, b"y", SECOND + 5), TOPIC, NOW)
    assert len(device.store.saved) == saves


def test_a_message_below_the_floor_changes_nothing(suite: Suite, device: Device) -> None:
    """The floor may lie above the mark: whoever takes over a state of e4go sets it to the present."""
    device.start(replace(device.store.last, clean=True, floor=SECOND, mark=0))
    before, saves = device.client.state, len(device.store.saved)
    with refused("timestamp_old"):
        device.client.unprotect(message(suite, b"x", SECOND), TOPIC, NOW)
    assert device.client.state == before
    assert len(device.store.saved) == saves


def test_a_clock_set_back_opens_no_door(suite: Suite, device: Device) -> None:
    data = message(suite, b"x", SECOND)
    device.client.unprotect(data, TOPIC, NOW)
    device.client.unprotect(message(suite, b"y", SECOND + 5_000), TOPIC, NOW + 5_000)
    with refused("replayed", "timestamp_old"):
        device.client.unprotect(data, TOPIC, NOW)


def test_a_member_that_signs_anothers_ciphertext_cannot_suppress_the_original(pk: Suite) -> None:
    device = Device(pk, knows=("sender", "rogue"))
    original = message(pk, b"x", SECOND)
    stolen = sign(private_of(pk, "rogue"), topic_hash("rogue"), original[:8] + original[24:-64])
    assert device.client.unprotect(stolen, TOPIC, NOW).sender == client_id("rogue")
    assert device.client.unprotect(original, TOPIC, NOW).sender == client_id("sender")


def test_equal_messages_are_delivered_flagged_where_the_topic_allows_it(suite: Suite) -> None:
    device = Device(suite, tolerance=Tolerance(repeats=frozenset({TOPIC})))
    data = message(suite, b"x", SECOND)
    assert [device.client.unprotect(data, TOPIC, NOW).repeated for _ in range(3)] == [False, True, True]


def test_taking_a_topic_away_and_giving_it_back_forgets_no_replay(suite: Suite, device: Device) -> None:
    data = message(suite, b"x", SECOND)
    device.client.unprotect(data, TOPIC, NOW)
    device.command(RemoveTopic(topic_hash(TOPIC)), SECOND)
    device.command(ResetTopics(), SECOND + 1)
    device.restart(clean=True)
    device.command(SetTopicKey(topic_key("key"), topic_hash(TOPIC)), SECOND + 2)
    with refused("replayed"):
        device.client.unprotect(data, TOPIC, NOW)


def test_taking_a_senders_key_away_and_giving_it_back_forgets_no_replay(pk: Suite) -> None:
    device, data = Device(pk), message(pk, b"x", SECOND)
    device.client.unprotect(data, TOPIC, NOW)
    device.command(RemovePubKey(client_id("sender")), SECOND)
    device.command(SetPubKey(private_of(pk, "sender")[32:], client_id("sender")), SECOND + 1)
    with refused("replayed"):
        device.client.unprotect(data, TOPIC, NOW)


@pytest.mark.parametrize("last_s", [600, 700])
def test_memory_of_what_is_gone_is_released_when_all_in_it_is_too_old(
    suite: Suite, device: Device, last_s: int
) -> None:
    device.client.unprotect(message(suite, b"x", SECOND), TOPIC, NOW)
    device.command(RemoveTopic(topic_hash(TOPIC)), SECOND + 1)
    device.command(RemoveTopic(topic_hash("any")), SECOND + last_s)
    device.client.close()
    saved = device.store.last
    assert len(saved.seen) == (1 if last_s == 600 else 0)
    assert saved.floor == (0 if last_s == 600 else SECOND)


def test_memory_of_a_sender_that_is_gone_is_released(pk: Suite) -> None:
    device = Device(pk, knows=("sender", "other"))
    for sender in ("sender", "other"):
        device.client.unprotect(message(pk, b"x", SECOND, sender=sender), TOPIC, NOW)
    device.command(RemovePubKey(client_id("sender")), SECOND + 1)
    device.command(RemoveTopic(topic_hash("any")), SECOND + 700)
    device.client.close()
    assert [seen.sender for seen in device.store.last.seen] == [client_id("other")]


def test_the_same_ciphertext_at_another_second_is_no_replay(sk: Suite) -> None:
    device = Device(sk)
    for second in (SECOND - 2, SECOND - 1, SECOND):
        assert device.client.unprotect(seal(topic_key("key"), b"x", second), TOPIC, NOW).timestamp == second
