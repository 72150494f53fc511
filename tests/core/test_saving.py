# SPDX-License-Identifier: Apache-2.0
"""What cannot be saved does not happen: the error surfaces, nothing is changed, and no replay gets through later."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from e4core.command import RemoveTopic, ResetTopics, SetIDKey, SetTopicKey
from e4core.errors import E4Error
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, Device, message, private_of, refused, topic_hash, topic_key

SAVES: dict[str, Callable[[Device], object]] = {
    "command": lambda d: d.command(SetTopicKey(topic_key("new"), topic_hash(TOPIC)), SECOND),
    "new id key": lambda d: d.command(SetIDKey(private_of(d.suite, "new")), SECOND),
    "message": lambda d: d.client.unprotect(message(d.suite, b"y", SECOND + 20), TOPIC, NOW),
    "first sending": lambda d: d.client.protect(b"x", TOPIC, NOW),
    "close": lambda d: d.client.close(),
    "reset of the clock": lambda d: d.client.reset_clock(NOW),
}


@pytest.mark.parametrize("failing", SAVES)
def test_a_failing_save_surfaces_and_changes_nothing(suite: Suite, device: Device, failing: str) -> None:
    data = message(suite, b"x", SECOND)
    device.client.unprotect(data, TOPIC, NOW)
    before, device.store.full = device.client.state, True
    with refused("storage"):
        SAVES[failing](device)
    device.store.full = False
    assert device.client.state == before
    assert device.client.hello()
    device.command(RemoveTopic(topic_hash("any")), SECOND)
    with refused("replayed", "timestamp_old"):
        device.client.unprotect(data, TOPIC, NOW)
    SAVES[failing](device)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("failing", SAVES)
def test_after_a_failing_save_and_a_restart_no_replay_gets_through(
    suite: Suite, device: Device, failing: str, clean: bool
) -> None:
    device.store.full = True
    with refused("storage"):
        SAVES[failing](device)
    device.store.full = False
    data, newer = message(suite, b"x", SECOND), message(suite, b"x", SECOND + 1)
    for each in (data, newer):
        device.client.unprotect(each, TOPIC, NOW)
    device.restart(clean=clean)
    for each in (data, newer):
        with refused("replayed", "timestamp_old"):
            device.client.unprotect(each, TOPIC, NOW)


@pytest.mark.parametrize("command", [RemoveTopic(topic_hash(TOPIC)), ResetTopics()])
def test_a_topic_whose_removal_could_not_be_saved_remembers_its_replays(
    suite: Suite, device: Device, command: RemoveTopic | ResetTopics
) -> None:
    device.store.full = True
    with refused("storage"):
        device.command(command, SECOND)
    device.store.full = False
    data = message(suite, b"x", SECOND)
    device.client.unprotect(data, TOPIC, NOW)
    device.restart(clean=True)
    with refused("replayed"):
        device.client.unprotect(data, TOPIC, NOW)


def test_a_close_that_could_not_be_saved_does_not_pass_for_one_later(suite: Suite, device: Device) -> None:
    device.store.full = True
    with refused("storage"):
        device.client.close()
    device.store.full = False
    data = message(suite, b"x", SECOND)
    device.client.unprotect(data, TOPIC, NOW)  # saves the mark
    device.restart(clean=False)
    with refused("timestamp_old"):
        device.client.unprotect(data, TOPIC, NOW)


@pytest.mark.parametrize("saves_once_more", [True, False])
def test_a_client_used_after_close_lets_no_replay_through(suite: Suite, device: Device, saves_once_more: bool) -> None:
    device.client.unprotect(message(suite, b"x", SECOND), TOPIC, NOW)
    device.client.close()
    data = message(suite, b"y", SECOND + (20 if saves_once_more else 1))
    try:
        device.client.unprotect(data, TOPIC, NOW)
    except E4Error:  # to refuse it is as good
        return
    device.restart(clean=False)
    with refused("replayed", "timestamp_old"):
        device.client.unprotect(data, TOPIC, NOW)


def test_a_reset_of_the_clock_lets_no_message_through_again(suite: Suite, device: Device) -> None:
    letters = [message(suite, b"x", second) for second in (SECOND - 5, SECOND, SECOND + 1, SECOND + 30)]
    for data in letters:
        device.client.unprotect(data, TOPIC, NOW)
    device.client.reset_clock(NOW)
    for data in letters:
        with refused("replayed", "timestamp_old"):
            device.client.unprotect(data, TOPIC, NOW)


def test_a_state_is_saved_as_running_from_the_start(device: Device) -> None:
    cleanness = [device.store.last.clean]
    device.client.close()
    cleanness.append(device.store.last.clean)
    device.start(device.store.last)
    assert cleanness == [False, True]
    assert (device.store.last.clean, device.store.last.seen) == (False, ())
