# SPDX-License-Identifier: Apache-2.0
"""The order of commands: older ones and repeats are refused, and a clock once wrong does no lasting harm (`wire.md` section 13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.command import (
    RemoveTopic,
    SetTopicKey,
)
from e4core.errors import E4Error
from e4core.message import WINDOW_S
from e4core.order import KEPT
from e4core.report import Outcome
from e4core.suite import Suite
from tests.core.fleet import (
    NOW,
    SECOND,
    TOPIC,
    Device,
    refused,
    topic_hash,
    topic_key,
)
from tests.core.strategies import LAW

YEAR_S = 31_536_000
GIVE = SetTopicKey(topic_key("new"), topic_hash("new topic"))


def test_an_older_command_is_outdated_an_equally_old_one_is_not(device: Device) -> None:
    assert device.command(GIVE, SECOND).outcome is Outcome.APPLIED
    assert device.command(RemoveTopic(GIVE.topic), SECOND).outcome is Outcome.APPLIED
    before = device.client.state
    old = device.command(GIVE, SECOND - 1, NOW)
    assert old.outcome is Outcome.OUTDATED
    assert old.error is not None and old.error.kind == "timestamp_old"
    assert device.ack(old).outcome is Outcome.OUTDATED
    assert device.client.state is before


def test_an_exact_repeat_is_applied_once_and_acknowledged_once_in_ten_seconds(device: Device) -> None:
    handled = [device.command(GIVE, SECOND, NOW + wait) for wait in (0, 1, 10.9, 11, 30)]
    assert [h.outcome for h in handled] == [Outcome.APPLIED, *[Outcome.ALREADY] * 4]
    assert [h.report is None for h in handled] == [False, False, True, False, False]
    assert device.ack(handled[1]).outcome is Outcome.ALREADY
    assert len(device.store.saved) == 2


def test_a_command_that_was_not_obeyed_is_answered_once(device: Device) -> None:
    data = device.sealed(b"\xfe", SECOND)
    handled = [device.client.command(data, NOW + wait) for wait in (0, 20, 40)]
    assert [h.outcome for h in handled] == [Outcome.REFUSED] * 3
    assert [h.report is None for h in handled] == [False, True, True]


def test_a_repeat_of_one_of_several_commands_of_a_second_is_seen_across_a_restart(device: Device) -> None:
    commands = [SetTopicKey(topic_key(f"{n}"), topic_hash(TOPIC)) for n in range(4)]
    for command in commands:
        device.command(command, SECOND)
    for clean in (True, False):
        device.restart(clean=clean)
        assert [device.command(c, SECOND).outcome for c in commands] == [Outcome.ALREADY] * 4
    assert device.client.state.topics[topic_hash(TOPIC)].key == topic_key("3")


@pytest.mark.parametrize("back_s", [2, 35, 630])
def test_a_clock_set_back_a_little_lets_no_command_through_again(device: Device, back_s: int) -> None:
    early = device.sealed(RemoveTopic(topic_hash("any")), SECOND - 600)
    give = device.sealed(GIVE, SECOND + 29)
    for data, now in ((early, NOW - 600), (give, NOW)):
        assert device.client.command(data, now).outcome is Outcome.APPLIED
    device.command(RemoveTopic(GIVE.topic), SECOND + 30, NOW)
    before = device.client.state
    for step in range(back_s + 60):
        for data in (early, give):
            try:
                assert device.client.command(data, NOW - back_s + step).outcome is not Outcome.APPLIED
            except E4Error as error:
                assert error.kind in ("timestamp_future", "timestamp_old")
    assert device.client.state is before


jumps = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 40, -2, -40, -700, 700, YEAR_S, -YEAR_S]), st.integers(-3, 2), st.booleans()),
    max_size=40,
)
"""What happens: how far the clock jumps, how far the C2's clock is off it, whether the device is started anew."""


@LAW
@given(jumps)
def test_no_command_is_obeyed_twice_whatever_the_clock_does(suite: Suite, steps: list[tuple[int, int, bool]]) -> None:
    device, now, obeyed = Device(suite), NOW, set[bytes]()
    for number, (jump, off, restart) in enumerate(steps):
        now += jump
        if restart:
            device.restart(clean=False)
        new = device.sealed(RemoveTopic(topic_hash(str(number))), int(now) + off)
        for data in (new, *sorted(obeyed)):
            try:
                handled = device.client.command(data, now)
            except E4Error:
                continue
            if handled.outcome is Outcome.APPLIED:
                assert data not in obeyed
                obeyed.add(data)


def test_a_command_that_is_forgotten_is_not_obeyed_again_either(device: Device) -> None:
    sent = [device.sealed(RemoveTopic(topic_hash(str(n))), SECOND + n) for n in range(KEPT + 50)]
    for n, data in enumerate(sent):
        assert device.client.command(data, NOW + n).outcome is Outcome.APPLIED
    tags = device.client.state.command_tags
    assert sum(len(of_second) for of_second in tags.values()) == KEPT
    device.command(RemoveTopic(topic_hash("far")), SECOND + YEAR_S)
    device.restart(clean=False)
    outcomes = {device.client.command(data, NOW + 500).outcome for data in sent}
    assert outcomes == {Outcome.ALREADY, Outcome.OUTDATED}


def test_the_newest_second_is_remembered_whole(device: Device) -> None:
    many = [device.sealed(RemoveTopic(topic_hash(str(n))), SECOND) for n in range(2 * KEPT)]
    assert {device.client.command(data, NOW).outcome for data in many} == {Outcome.APPLIED}
    assert {device.client.command(data, NOW).outcome for data in many} == {Outcome.ALREADY}


@pytest.mark.parametrize("sent_before_s", [0, 5])
def test_a_clock_once_wrong_does_not_deafen_the_device(device: Device, sent_before_s: int) -> None:
    """Both clocks were a year ahead; after that the device obeys at once."""
    assert device.command(GIVE, SECOND + YEAR_S).outcome is Outcome.APPLIED
    for n in range(3):
        command = RemoveTopic(topic_hash(str(n)))
        assert device.command(command, SECOND + n - sent_before_s, NOW + n).outcome is Outcome.APPLIED


def test_a_clock_set_back_by_minutes_costs_no_more_than_these(device: Device) -> None:
    device.command(GIVE, SECOND)
    late = SECOND - WINDOW_S
    assert device.command(RemoveTopic(topic_hash("x")), late, late).outcome is Outcome.OUTDATED
    assert device.command(RemoveTopic(topic_hash("y")), SECOND, SECOND).outcome is Outcome.APPLIED


def test_after_a_clock_ran_ahead_no_command_of_before_is_obeyed_again(device: Device) -> None:
    first = device.sealed(GIVE, SECOND + 29)
    device.client.command(first, NOW)
    far = device.sealed(RemoveTopic(GIVE.topic), SECOND + YEAR_S)
    device.client.command(far, NOW + YEAR_S)
    assert device.client.command(first, NOW).outcome is Outcome.ALREADY
    assert device.command(RemoveTopic(topic_hash("x")), SECOND + 30, NOW).outcome is Outcome.APPLIED
    assert device.client.command(first, NOW).outcome is Outcome.OUTDATED
    assert device.client.command(far, NOW + YEAR_S).outcome is Outcome.ALREADY


def test_after_a_clock_ran_ahead_the_order_holds_again_also_when_that_time_comes(device: Device) -> None:
    device.command(GIVE, SECOND + YEAR_S)
    assert device.command(RemoveTopic(topic_hash("x")), SECOND, NOW).outcome is Outcome.APPLIED
    assert device.command(GIVE, SECOND - 1, NOW).outcome is Outcome.OUTDATED
    almost = SECOND + YEAR_S - 5
    assert device.command(RemoveTopic(topic_hash("y")), almost, almost).outcome is Outcome.APPLIED


def test_a_command_that_is_refused_changes_no_order(device: Device) -> None:
    device.command(GIVE, SECOND + YEAR_S)
    before = device.client.state
    assert device.command(b"\xee", SECOND, NOW).outcome is Outcome.REFUSED
    assert device.client.state is before


def test_a_reset_of_the_clock_undoes_a_floor_of_the_future(device: Device) -> None:
    for n in range(KEPT + 2):
        device.command(RemoveTopic(topic_hash(str(n))), SECOND + YEAR_S + n)
    assert device.command(GIVE, SECOND, NOW).outcome is Outcome.OUTDATED
    device.client.reset_clock(NOW)
    assert device.command(GIVE, SECOND + 31, NOW + 31).outcome is Outcome.APPLIED


def test_a_reset_of_the_clock_lets_no_command_through_again(device: Device) -> None:
    device.command(GIVE, SECOND, NOW)
    device.command(RemoveTopic(GIVE.topic), SECOND + 20, NOW)
    device.client.reset_clock(NOW)
    for command, sent in ((GIVE, SECOND), (RemoveTopic(GIVE.topic), SECOND + 20)):
        assert device.command(command, sent, NOW).outcome is not Outcome.APPLIED


def test_a_command_that_cannot_be_saved_is_obeyed_when_it_is_repeated(device: Device) -> None:
    before, device.store.full = device.client.state, True
    with refused("storage"):
        device.command(GIVE, SECOND)
    assert device.client.state is before
    device.store.full = False
    assert device.command(GIVE, SECOND).outcome is Outcome.APPLIED
