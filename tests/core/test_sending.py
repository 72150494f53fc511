# SPDX-License-Identifier: Apache-2.0
"""Sending: no two messages of one device have the same bytes, whatever happens to it (`wire.md` section 13)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from e4core.command import RemoveTopic, SetTopicKey
from e4core.errors import RateExceeded, TooOld
from e4core.sending import STEP_BACK_S
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, Device, refused, topic_hash, topic_key
from tests.core.strategies import LAW


def second_of(data: bytes) -> int:
    return int.from_bytes(data[:8], "little")


@pytest.fixture
def settled(device: Device) -> Device:
    """A device that has been sending for a minute."""
    device.client.protect(b"start", TOPIC, NOW - 60)
    return device


def test_messages_are_back_dated_by_two_seconds(settled: Device) -> None:
    assert second_of(settled.client.protect(b"x", TOPIC, NOW)) == SECOND - 2


def test_equal_payloads_in_one_second_take_other_seconds_until_the_rate_is_exceeded(
    suite: Suite, settled: Device
) -> None:
    receiver, sent = Device(suite, knows=("device",)), []
    with pytest.raises(RateExceeded):
        for _ in range(100):
            sent.append(settled.client.protect(b"x", TOPIC, NOW))
    seconds = sorted(second_of(data) for data in sent)
    assert seconds == list(range(seconds[0], seconds[-1] + 1))
    assert seconds[-1] <= SECOND
    assert len(sent) > 50
    assert {receiver.client.unprotect(data, TOPIC, NOW).payload for data in sent} == {b"x"}
    assert settled.client.protect(b"another", TOPIC, NOW)
    assert settled.client.protect(b"x", TOPIC, NOW + 1)


def test_one_equal_message_a_second_is_never_too_fast(device: Device) -> None:
    sent = [device.client.protect(b"alive", TOPIC, NOW + second) for second in range(10)]
    assert len(set(sent)) == 10


actions = st.lists(
    st.sampled_from(["send", "send", "send", "tick", "half", "crash", "restart", "remove", "give"]), max_size=60
)


@LAW
@given(actions)
@example(["tick", "send", "send", "send", "crash", "send"])
@example(["send", "crash", "send", "crash", "send", "crash", "send"])
def test_no_two_messages_are_equal_across_crashes_and_restarts(suite: Suite, steps: list[str]) -> None:
    device, now, sent = Device(suite), NOW, set[bytes]()
    commanded = SECOND
    for step in steps:
        now += {"tick": 1, "half": 0.5}.get(step, 0)
        if step in ("crash", "restart"):
            device.restart(clean=step == "restart")
        elif step in ("remove", "give"):
            commanded = max(commanded + 1, int(now))
            topic = topic_hash(TOPIC)
            device.command(
                RemoveTopic(topic) if step == "remove" else SetTopicKey(topic_key("key"), topic), commanded, commanded
            )
        elif step == "send" and topic_hash(TOPIC) in device.client.state.topics:
            try:
                data = device.client.protect(b"x", TOPIC, now)
            except RateExceeded:
                continue
            assert data not in sent
            sent.add(data)


@LAW
@given(st.lists(st.sampled_from([0, 0, 0.5, 1, 2, -1, -3, -400, 400]), max_size=60))
def test_no_two_messages_are_equal_while_the_clock_jumps(suite: Suite, jumps: list[float]) -> None:
    device, now, sent = Device(suite), NOW, set[bytes]()
    for jump in jumps:
        now += jump
        try:
            data = device.client.protect(b"x", TOPIC, now)
        except (RateExceeded, TooOld):
            continue
        assert data not in sent
        sent.add(data)


def test_a_clock_set_back_over_a_clean_restart_makes_no_equal_messages(settled: Device) -> None:
    sent = {settled.client.protect(b"x", TOPIC, NOW + n) for n in range(10)}
    settled.restart(clean=True)
    for n in range(10):
        try:
            assert settled.client.protect(b"x", TOPIC, NOW + n) not in sent
        except RateExceeded:
            continue


@pytest.mark.parametrize(("back_s", "kind"), [(350, "rate_exceeded"), (3600, "timestamp_old")])
@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_set_back_is_said_and_whether_waiting_a_minute_helps(
    settled: Device, back_s: int, kind: str, restart: bool
) -> None:
    for n in range(400):
        settled.client.protect(b"%d" % n, TOPIC, NOW + n)
    now = NOW + 399 - back_s
    if restart:
        settled.restart(clean=True)
        now += STEP_BACK_S  # what was sent is forgotten then, up to the end
    with refused(kind) as caught:
        settled.client.protect(b"new", TOPIC, now)
    (wait_s,) = (int(word) for word in str(caught.value).split() if word.isdigit())
    assert "the clock was set back" in str(caught.value)
    with refused():
        settled.client.protect(b"new", TOPIC, now + wait_s - 1)
    assert settled.client.protect(b"new", TOPIC, now + wait_s)


def test_equal_messages_after_a_clock_set_back_to_before_the_start_say_so_too(settled: Device) -> None:
    settled.client.protect(b"x", TOPIC, NOW - 3600)
    with refused("timestamp_old") as caught:
        settled.client.protect(b"x", TOPIC, NOW - 3600)
    assert "the clock was set back" in str(caught.value)


def test_resetting_the_clock_makes_no_equal_messages(device: Device) -> None:
    first = device.client.protect(b"x", TOPIC, NOW)
    device.client.reset_clock(NOW)
    with suppress(RateExceeded):
        assert device.client.protect(b"x", TOPIC, NOW) != first
    assert device.client.protect(b"x", TOPIC, NOW + 5) != first


def test_resetting_the_clock_lets_a_device_send_again_that_was_ahead(settled: Device) -> None:
    settled.client.protect(b"x", TOPIC, NOW + 1_000_000)
    settled.restart(clean=True)
    with refused("timestamp_old"):
        settled.client.protect(b"x", TOPIC, NOW)
    settled.client.reset_clock(NOW)
    assert SECOND <= second_of(settled.client.protect(b"x", TOPIC, NOW + 5)) <= SECOND + 5


def test_nothing_is_sent_while_the_start_cannot_be_saved(device: Device) -> None:
    device.store.full = True
    with refused("storage"):
        device.client.protect(b"x", TOPIC, NOW)
    device.store.full = False
    assert device.client.protect(b"x", TOPIC, NOW)


def test_the_previous_key_is_never_used_to_protect(suite: Suite, settled: Device) -> None:
    settled.command(SetTopicKey(topic_key("new"), topic_hash(TOPIC)), SECOND)
    receiver = Device(suite, topics={TOPIC: topic_key("new")}, knows=("device",))
    assert receiver.client.unprotect(settled.client.protect(b"x", TOPIC, NOW), TOPIC, NOW).payload == b"x"
