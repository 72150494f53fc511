# SPDX-License-Identifier: Apache-2.0
"""The C2 as a member of a topic: what it protects devices read, what they send it reads once, by the rules of a device."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from e4c2 import clients, topics, traffic
from e4c2.model import Reason
from e4c2.recovery import restored
from e4core.errors import (
    AuthenticationFailed,
    Denied,
    InFuture,
    InvalidInput,
    NotFound,
    Replayed,
    TooOld,
    UnknownKey,
    UnsupportedSuite,
)
from e4core.formats import overheads
from tests.c2.conftest import FORMAT1, FORMAT2, Worlds
from tests.c2.devices import Ours, Witness
from tests.c2.world import World
from tests.core.suites2 import GCM_SK, SIV_PK

SYMMETRIC = ("sk", GCM_SK.name)
SIGNED = ("pk", SIV_PK.name)
every_suite = pytest.mark.parametrize("suite", [*FORMAT1, *FORMAT2])
symmetric = pytest.mark.parametrize("suite", SYMMETRIC)
signed = pytest.mark.parametrize("suite", SIGNED)


def two(world: World) -> None:
    world.add("a")
    world.add("b")
    world.befriend("a", "b")
    world.topic("t", "a", "b")


@pytest.fixture
def fleet(worlds: Worlds, suite: str) -> World:
    return worlds.peopled(suite, two)


def protect(world: World, payload: bytes = b"from the C2", topic: str = "t") -> bytes:
    return b64decode(world.do(traffic.protect, topic, payload).message)


def unprotect(world: World, data: bytes, topic: str = "t") -> Any:
    return world.do(traffic.unprotect, topic, data)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@symmetric
def test_all_members_read_what_the_c2_protects(fleet: World) -> None:
    data = protect(fleet)
    assert [fleet.devices[name].read("t", data, fleet.clock.now) for name in "ab"] == [b"from the C2"] * 2


def test_a_device_of_e4go_reads_it_too(sk: World) -> None:
    sk.add("a", Witness)
    sk.topic("t", "a")
    assert sk.devices["a"].read("t", protect(sk), sk.clock.now) == b"from the C2"


@symmetric
def test_equal_payloads_of_one_second_are_several_messages(fleet: World) -> None:
    protect(fleet, b"first")
    fleet.clock.now += 10
    messages = [protect(fleet, b"same") for _ in range(5)]
    assert [fleet.devices["a"].read("t", each, fleet.clock.now) for each in messages] == [b"same"] * 5


@symmetric
def test_what_is_protected_is_under_the_key_of_now(fleet: World) -> None:
    protect(fleet)
    fleet.do(topics.rotate, "t")
    fleet.devices["b"].away = True
    fleet.settle_down()
    data = protect(fleet)
    assert fleet.devices["a"].read("t", data, fleet.clock.now) == b"from the C2"
    assert fleet.devices["b"].read("t", data, fleet.clock.now) is None


@signed
def test_where_messages_are_signed_the_c2_protects_none(fleet: World) -> None:
    with fleet.refuses(UnsupportedSuite):
        protect(fleet)


def test_a_payload_may_be_empty_where_devices_accept_that(sk: World, sk2: World) -> None:
    sk.topic("t")
    with sk.refuses(InvalidInput, kind="too_short"):
        protect(sk, b"")
    two(sk2)
    assert sk2.devices["a"].read("t", protect(sk2, b""), sk2.clock.now) == b""


@every_suite
def test_what_a_device_sends_is_read_with_who_and_when(fleet: World) -> None:
    opened = unprotect(fleet, fleet.devices["a"].write("t", fleet.clock.now, b"21.5"))
    assert b64decode(opened.payload) == b"21.5"
    assert "21.5" not in repr(opened)
    assert opened.payload not in repr(opened)
    is_signed = fleet.suite.signature is not None
    assert opened.authenticated is is_signed
    assert (opened.sender == fleet.devices["a"].id.hex()) is (is_signed or fleet.suite.format == 2)
    assert 0 <= fleet.clock.now - opened.timestamp <= 3
    assert (opened.epoch > 0) is (fleet.suite.format == 2)


@every_suite
def test_each_message_is_given_once_by_all_processes_and_after_a_start(fleet: World) -> None:
    data = fleet.devices["a"].write("t", fleet.clock.now)
    unprotect(fleet, data)
    with fleet.refuses(Replayed):
        unprotect(fleet, data)
    fleet.crash()
    with fleet.refuses(Replayed):
        unprotect(fleet, data)
    fleet.clock.now += 599
    unprotect(fleet, fleet.devices["b"].write("t", fleet.clock.now))
    with fleet.refuses(Replayed, TooOld):
        unprotect(fleet, data)


@every_suite
def test_what_is_too_old_forgets_nothing_that_a_wrong_clock_would_bring_back(fleet: World) -> None:
    data = fleet.devices["a"].write("t", fleet.clock.now)
    unprotect(fleet, data)
    fleet.clock.now += 3000
    with fleet.refuses(TooOld):
        unprotect(fleet, data)
    unprotect(fleet, fleet.devices["b"].write("t", fleet.clock.now))
    fleet.clock.now -= 3000
    with fleet.refuses(Replayed):
        unprotect(fleet, data)
    assert len(fleet.dump()["unprotected"]) == 2
    fleet.clock.now += 6000
    unprotect(fleet, fleet.devices["b"].write("t", fleet.clock.now))
    assert len(fleet.dump()["unprotected"]) == 2, "the first is too old for any clock that is wrong by an hour"


@every_suite
def test_times_are_as_for_devices(fleet: World) -> None:
    sent = fleet.clock.now
    data = fleet.devices["a"].write("t", sent)
    fleet.clock.now = sent + 605
    with fleet.refuses(TooOld):
        unprotect(fleet, data)
    fleet.clock.now = sent - 40
    with fleet.refuses(InFuture):
        unprotect(fleet, data)
    fleet.clock.now = sent
    unprotect(fleet, data)


@every_suite
def test_what_was_changed_or_cut_is_refused_and_does_not_use_the_message_up(fleet: World) -> None:
    data = fleet.devices["a"].write("t", fleet.clock.now, b"payload")
    shortest = overheads(fleet.suite)[0]
    for bad in (flipped(data, -1), flipped(data, shortest // 2), flipped(data, len(data) - shortest // 2)):
        with fleet.refuses(AuthenticationFailed, UnknownKey, InvalidInput):
            unprotect(fleet, bad)
    for length in (0, 1, 8, 16, 24, shortest - 1):
        with fleet.refuses(InvalidInput):
            unprotect(fleet, data[:length])
    assert b64decode(unprotect(fleet, data).payload) == b"payload"


@every_suite
def test_a_message_is_of_its_topic_and_of_the_key_of_now(fleet: World) -> None:
    fleet.topic("u", "a", "b")
    data = fleet.devices["a"].write("t", fleet.clock.now)
    with fleet.refuses(AuthenticationFailed, UnknownKey):
        unprotect(fleet, data, "u")
    fleet.do(topics.rotate, "t")
    with fleet.refuses(AuthenticationFailed, UnknownKey):
        unprotect(fleet, data)
    with fleet.refuses(NotFound):
        unprotect(fleet, data, "none")


@signed
def test_who_is_no_active_member_is_not_believed(fleet: World) -> None:
    thief = fleet.devices["b"]
    assert isinstance(thief, Ours)
    fleet.add("c")
    fleet.topic("u", "a", "b")
    fleet.do(topics.leave, "u", ["a"], rekey=False)
    with fleet.refuses(UnknownKey, kind="unknown_sender"):
        unprotect(fleet, fleet.devices["a"].write("u", fleet.clock.now), "u")
    fleet.do(clients.new_key, "b", Reason.COMPROMISED)
    with fleet.refuses(UnknownKey, AuthenticationFailed):
        unprotect(fleet, thief.write("u", fleet.clock.now), "u")


@pytest.mark.parametrize("suite", [SIV_PK.name])
def test_a_repetition_is_known_by_its_number_and_not_by_its_bytes(fleet: World) -> None:
    """Some signatures have others that verify; a message may not come again with one of them."""
    data = fleet.devices["a"].write("t", fleet.clock.now)
    known_by = fleet.realm.format.messages.known_by
    assert known_by(fleet.suite, flipped(data, -1)) == known_by(fleet.suite, data)


@symmetric
def test_nothing_is_protected_or_read_while_a_restored_c2_is_paused(fleet: World) -> None:
    data = fleet.devices["a"].write("t", fleet.clock.now)
    fleet.do(restored.put, bytes(16), fleet.clock.now)
    for act in (lambda: protect(fleet), lambda: unprotect(fleet, data)):
        with fleet.refuses(Denied, kind="paused"):
            act()
