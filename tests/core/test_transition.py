# SPDX-License-Identifier: Apache-2.0
"""The previous key of a topic: one hour of grace, one key, erased after that (`wire.md` section 8)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from e4core.command import RemoveTopic, ResetTopics, SetTopicKey
from e4core.suite import Suite
from tests.core.fleet import SECOND, TOPIC, Device, message, refused, topic_hash, topic_key

HASH = topic_hash(TOPIC)


def rotate(device: Device, name: str, second: int, now: float | None = None) -> None:
    assert device.command(SetTopicKey(topic_key(name), HASH), second, now).error is None


@pytest.mark.parametrize(
    ("now", "kind"),
    [(SECOND + 0.5, None), (SECOND + 3600.0, None), (SECOND + 3600.001, "timestamp_old")],
)
def test_the_previous_key_opens_for_an_hour(suite: Suite, device: Device, now: float, kind: str | None) -> None:
    rotate(device, "new", SECOND, SECOND + 0.75)
    old, new = (message(suite, b"x", int(now), topic_key(name)) for name in ("key", "new"))
    if kind is None:
        assert device.client.unprotect(old, TOPIC, now).payload == b"x"
    else:
        with refused(kind):
            device.client.unprotect(old, TOPIC, now)
    assert device.client.unprotect(new, TOPIC, now).payload == b"x"


def test_a_message_under_the_previous_key_keeps_its_own_window(suite: Suite, device: Device) -> None:
    rotate(device, "new", SECOND)
    with refused("timestamp_old"):
        device.client.unprotect(message(suite, b"x", SECOND), TOPIC, SECOND + 600.5)


def test_a_message_under_the_previous_key_is_no_more_accepted_twice(suite: Suite, device: Device) -> None:
    early, late = message(suite, b"x", SECOND - 1), message(suite, b"y", SECOND - 1)
    device.client.unprotect(early, TOPIC, SECOND)
    rotate(device, "new", SECOND)
    device.client.unprotect(late, TOPIC, SECOND)
    for data in (early, late):
        with refused("replayed"):
            device.client.unprotect(data, TOPIC, SECOND)


def test_only_one_previous_key_is_kept(suite: Suite, device: Device) -> None:
    rotate(device, "new", SECOND)
    rotate(device, "newer", SECOND + 1)
    with refused("not_authentic"):
        device.client.unprotect(message(suite, b"x", SECOND), TOPIC, SECOND + 1)
    assert device.client.unprotect(message(suite, b"x", SECOND, topic_key("new")), TOPIC, SECOND + 1)


def test_the_same_key_again_leaves_the_previous_one_and_its_age(device: Device) -> None:
    rotate(device, "new", SECOND)
    rotate(device, "new", SECOND + 100)
    keys = device.client.state.topics[HASH]
    assert (keys.key, keys.previous, keys.rotated) == (topic_key("new"), topic_key("key"), SECOND)


USES: dict[str, Callable[[Device, float], object]] = {
    "another command": lambda d, now: d.command(RemoveTopic(topic_hash("any")), int(now), now),
    "the first message sent": lambda d, now: d.client.protect(b"x", TOPIC, now),
    "a message received": lambda d, now: d.client.unprotect(
        message(d.suite, b"x", int(now), topic_key("new")), TOPIC, now
    ),
    "nothing but time": lambda d, now: d.client.erase_expired(now),
}


@pytest.mark.parametrize(("wait_s", "kept"), [(3600, True), (3601, False)])
@pytest.mark.parametrize("use", USES)
def test_when_its_grace_is_over_the_previous_key_is_erased_by_whatever_is_saved_next(
    device: Device, use: str, wait_s: int, kept: bool
) -> None:
    rotate(device, "new", SECOND)
    USES[use](device, SECOND + wait_s)
    assert device.client.state == device.store.last
    assert (device.client.state.topics[HASH].previous is not None) == kept
    assert (topic_key("key") in kept_keys(device)) == kept


def kept_keys(device: Device) -> list[bytes]:
    """Keys in the state that was saved last."""
    return [key for keys in device.store.last.topics.values() for key in (keys.key, keys.previous) if key]


def test_erasing_saves_only_if_there_is_something_to_erase(device: Device) -> None:
    rotate(device, "new", SECOND)
    saved = len(device.store.saved)
    device.client.erase_expired(SECOND + 3600)
    assert len(device.store.saved) == saved
    for _ in range(2):
        device.client.erase_expired(SECOND + 3601)
    assert len(device.store.saved) == saved + 1


def test_what_was_received_is_remembered_across_an_erasure(suite: Suite, device: Device) -> None:
    rotate(device, "new", SECOND)
    data = message(suite, b"x", SECOND + 3601, topic_key("new"))
    device.client.unprotect(data, TOPIC, SECOND + 3601)
    assert device.client.state.topics[HASH].previous is None
    with refused("replayed"):
        device.client.unprotect(data, TOPIC, SECOND + 3602)


@pytest.mark.parametrize("command", [RemoveTopic(HASH), ResetTopics()])
def test_a_topic_taken_away_takes_its_previous_key_along(
    suite: Suite, device: Device, command: RemoveTopic | ResetTopics
) -> None:
    rotate(device, "new", SECOND)
    device.command(command, SECOND + 1)
    rotate(device, "newest", SECOND + 2)
    for name in ("key", "new"):
        with refused("not_authentic"):
            device.client.unprotect(message(suite, b"x", SECOND, topic_key(name)), TOPIC, SECOND + 2)


def test_an_old_key_survives_a_restart(suite: Suite, device: Device) -> None:
    rotate(device, "new", SECOND)
    device.restart(clean=False)
    assert device.client.unprotect(message(suite, b"x", SECOND), TOPIC, SECOND + 1).payload == b"x"
