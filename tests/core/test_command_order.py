# SPDX-License-Identifier: Apache-2.0
"""The order of commands: older ones and repeats are refused, and a clock once wrong does no lasting harm (`wire.md` section 13)."""

from __future__ import annotations

import pytest

from e4core.command import (
    RemoveTopic,
    SetTopicKey,
)
from e4core.report import Outcome
from tests.core.fleet import (
    NOW,
    SECOND,
    TOPIC,
    Device,
    refused,
    topic_hash,
    topic_key,
)

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


def test_a_repeat_of_one_of_several_commands_of_a_second_is_seen_across_a_restart(device: Device) -> None:
    commands = [SetTopicKey(topic_key(f"{n}"), topic_hash(TOPIC)) for n in range(4)]
    for command in commands:
        device.command(command, SECOND)
    for clean in (True, False):
        device.restart(clean=clean)
        assert [device.command(c, SECOND).outcome for c in commands] == [Outcome.ALREADY] * 4
    assert device.client.state.topics[topic_hash(TOPIC)].key == topic_key("3")


@pytest.mark.parametrize("sent_before_s", [0, 5])
def test_a_clock_once_wrong_does_not_deafen_the_device(device: Device, sent_before_s: int) -> None:
    """Both clocks were a year ahead; within two minutes after that the device must obey again."""
    assert device.command(GIVE, SECOND + 31_536_000).outcome is Outcome.APPLIED
    outcomes = [
        device.command(RemoveTopic(topic_hash(str(n))), SECOND + n - sent_before_s, NOW + n) for n in range(120)
    ]
    assert outcomes[-1].outcome is Outcome.APPLIED


def test_after_a_pull_back_no_command_of_before_is_accepted_again(device: Device) -> None:
    first = device.sealed(GIVE, SECOND + 29)  # the order goes on at now + skew, as wire.md section 13 says
    device.client.command(first, NOW)
    device.command(RemoveTopic(GIVE.topic), SECOND + 31_536_000)
    assert device.client.command(first, NOW).outcome is not Outcome.APPLIED


def test_after_a_pull_back_the_order_holds_again(device: Device) -> None:
    device.command(GIVE, SECOND + 31_536_000)
    obeyed = [n for n in range(120) if device.command(RemoveTopic(topic_hash("x")), SECOND + n, NOW + n).error is None]
    assert obeyed
    assert device.command(GIVE, SECOND + obeyed[0] - 1, NOW + 120).outcome is Outcome.OUTDATED


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
