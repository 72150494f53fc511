# SPDX-License-Identifier: Apache-2.0
"""Sessions and sequences of own messages: whatever happens, no nonce is used twice under one key."""

from __future__ import annotations

import os

import pytest

from e4core.command2 import RemoveTopic, ResetTopics
from e4core.sending2 import COUNTERS_MOST, SEQUENCES, OwnSession
from e4core.suite import Suite
from tests.core.fleet import NOW, TOPIC, refused
from tests.core.fleet2 import EPOCH, Device2, full_hash, set_key, suites
from tests.core.suites2 import GCM_SK


def place(data: bytes) -> tuple[bytes, int, int]:
    """Session, epoch, sequence."""
    return data[29:37], int.from_bytes(data[1:5], "little"), int.from_bytes(data[37:41], "little")


def sent(device: Device2, topic: str = TOPIC, now: float = NOW) -> tuple[bytes, int, int]:
    return place(device.client.protect(b"same", topic, now))


@suites
def test_sequences_count_from_0_and_clocks_do_not_matter(suite: Suite) -> None:
    device = Device2(suite)
    places = [sent(device, now=now) for now in (NOW, NOW, NOW + 5, NOW - 1000, NOW)]
    assert [sequence for _, _, sequence in places] == [0, 1, 2, 3, 4]
    assert len({session for session, _, _ in places}) == 1


@suites
def test_every_start_draws_another_session_also_from_a_copy_of_the_state(suite: Suite) -> None:
    device = Device2(suite)
    copy = device.store.last
    sessions = {sent(device)[0]}
    for _ in range(3):
        device.start(copy)
        sessions.add(sent(device)[0])
    device.restart(clean=True)
    sessions.add(sent(device)[0])
    assert len(sessions) == 5


@suites
def test_a_topic_or_epoch_that_goes_and_comes_again_goes_on_counting(suite: Suite) -> None:
    device = Device2(suite)
    places = [sent(device)]
    for commands in ([RemoveTopic(full_hash(TOPIC))], [ResetTopics()]):
        device.command(*commands)
        with refused("topic_key_missing"):
            sent(device)
        device.command(set_key(EPOCH, "key"))
        places.append(sent(device))
    device.command(set_key(EPOCH + 1, older_until=2**64 - 1))
    places.append(sent(device))
    device.command(set_key(EPOCH + 1, use=0, older_until=2**64 - 1))
    places.append(sent(device))
    assert len({session for session, _, _ in places}) == 1
    numbered = [(epoch, sequence) for _, epoch, sequence in places]
    assert numbered == [(EPOCH, 0), (EPOCH, 1), (EPOCH, 2), (EPOCH + 1, 0), (EPOCH, 3)]


@suites
def test_what_could_not_be_sealed_has_used_up_its_sequence(suite: Suite) -> None:
    device = Device2(suite)
    before = sent(device)
    with pytest.raises(TypeError):
        device.client.protect("text", TOPIC, NOW)  # type: ignore[arg-type]
    assert sent(device)[2] == before[2] + 2


@suites
def test_a_forked_child_draws_another_session(suite: Suite) -> None:
    device = Device2(suite)
    before = sent(device)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, device.client.protect(b"same", TOPIC, NOW))
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = place(os.read(reading, 1000)), sent(device)
    for end in (reading, writing):
        os.close(end)
    assert theirs[0] != before[0] == ours[0]
    assert (theirs[2], ours[2]) == (0, before[2] + 1)


def test_when_all_sequences_are_used_up_another_session_begins() -> None:
    device = Device2(GCM_SK)
    first = sent(device)
    out = device.client._outgoing[TOPIC]
    out.numbers = zip([b"\xff" * 4], [b"\xff" * 4 + bytes(8)], strict=True)
    assert sent(device) == (first[0], EPOCH, SEQUENCES - 1)
    after = sent(device)
    assert after[0] != first[0]
    assert after[2] == 0


def test_the_last_sequence_is_the_largest_that_fits() -> None:
    session = OwnSession(GCM_SK, bytes(16), bytes(32), 0, 0)
    numbers = session.numbers(bytes(32), 1)
    assert [next(numbers) for _ in range(2)] == [(bytes(4), bytes(12)), (b"\1\0\0\0", b"\1" + bytes(11))]
    assert SEQUENCES == 1 << 32
    assert session.numbers(bytes(32), 1) is numbers


@suites
@pytest.mark.parametrize("now", [3e10, 1.8e19])
def test_a_clock_beyond_what_nanoseconds_can_tell_does_not_keep_a_device_from_sending(suite: Suite, now: float) -> None:
    assert sent(Device2(suite), now=now)[1:] == (EPOCH, 0)


def test_a_session_does_not_remember_topics_without_end() -> None:
    device = Device2(GCM_SK)
    first = sent(device)
    assert device.client._session
    for epoch in range(COUNTERS_MOST):
        device.client._session.numbers(bytes(32), epoch)
    assert sent(device)[0] == first[0]
    device.command(set_key(EPOCH + 1))
    assert sent(device)[0] != first[0]
