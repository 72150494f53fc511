# SPDX-License-Identifier: Apache-2.0
"""Messages of Format 2 that are refused: every check of the receiver, and their order; no message opens in place of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, client_id, hkdf, le, refused, topic_key
from tests.core.fleet2 import (
    EPOCH,
    PUBLIC_KEY,
    SUITES,
    Device2,
    Letter,
    epoch_of,
    public_key,
    suites,
    symmetric,
)
from tests.core.strategies import LAW, damaged


@dataclass(frozen=True)
class Wrong:
    """Something wrong with a message that the device has not seen: what, and the error it gives."""

    kind: str
    spoil: Callable[[Letter], Letter] = lambda letter: letter
    break_: Callable[[bytes], bytes] = lambda data: data
    suites: tuple[Suite, ...] = tuple(SUITES)


STEPS = [
    Wrong("bad_length", break_=lambda data: data[:1] + data[1:40]),
    Wrong("bad_version", break_=lambda data: b"\x01" + data[1:]),
    Wrong("topic_key_missing", lambda letter: letter.but(topic="elsewhere")),
    Wrong("epoch_unknown", lambda letter: letter.but(epoch=EPOCH + 1)),
    Wrong("epoch_retired", lambda letter: letter.but(epoch=EPOCH - 1)),
    Wrong("timestamp_future", lambda letter: letter.but(sent=SECOND + 32)),
    Wrong("timestamp_old", lambda letter: letter.but(sent=SECOND - 601)),
    Wrong("unknown_sender", lambda letter: letter.but(sender="stranger"), suites=tuple(PUBLIC_KEY)),
    Wrong("replayed", lambda letter: letter.but(sequence=9)),
    Wrong("bad_signature", lambda letter: letter.but(signer="other"), suites=tuple(PUBLIC_KEY)),
    Wrong("not_authentic", lambda letter: letter.but(key=topic_key("another"))),
]
CASES = [(suite, wrong) for wrong in STEPS for suite in wrong.suites]
EXCLUSIVE = [{"epoch_unknown", "epoch_retired"}, {"timestamp_future", "timestamp_old"}, {"unknown_sender", "replayed"}]
"""What cannot both be wrong with one message."""
TWICE = [
    (suite, first, second)
    for first, second in combinations(STEPS, 2)
    if {first.kind, second.kind} not in EXCLUSIVE
    for suite in SUITES
    if suite in first.suites and suite in second.suites
]


def _known(suite: Suite) -> Device2:
    """A device that has seen sequence 9 of the session, also when all else is wrong with a later message."""
    device = Device2(suite, topics={TOPIC: (epoch_of(suite, topic_key("key"), validity_s=600),)})
    device.accept(Letter(sequence=9))
    return device


def _apply(letter: Letter, suite: Suite, *wrongs: Wrong) -> tuple[bytes, str]:
    for wrong in wrongs:
        letter = wrong.spoil(letter)
    data = letter.wire(suite)
    for wrong in wrongs:
        data = wrong.break_(data)
    return data, letter.topic


@pytest.mark.parametrize(("suite", "wrong"), CASES, ids=lambda each: getattr(each, "name", None) or each.kind)
def test_each_check_refuses_with_its_own_error_and_changes_nothing(suite: Suite, wrong: Wrong) -> None:
    device = _known(suite)
    before = device.everything()
    data, topic = _apply(Letter(sequence=10), suite, wrong)
    with refused(wrong.kind):
        device.client.unprotect(data, topic, NOW)
    assert device.everything() == before
    assert device.accept(Letter(sequence=10)).sequence == 10


@pytest.mark.parametrize(("suite", "first", "second"), TWICE, ids=lambda e: getattr(e, "name", None) or e.kind)
def test_a_message_wrong_in_two_ways_gives_the_first_error(suite: Suite, first: Wrong, second: Wrong) -> None:
    device = _known(suite)
    data, topic = _apply(Letter(sequence=10), suite, first, second)
    with refused(first.kind):
        device.client.unprotect(data, topic, NOW)


@suites
def test_without_a_trusted_clock_nothing_else_is_looked_at(suite: Suite) -> None:
    device = Device2(suite, clock_is_trusted=False)
    with refused("clock_unset"):
        device.client.unprotect(b"", TOPIC, NOW)
    with refused("clock_unset"):
        device.client.protect(b"", TOPIC, NOW)
    with refused("topic_key_missing"):
        device.client.protect(b"", "elsewhere", NOW)


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES), again=st.booleans())
def test_whatever_is_not_exactly_a_message_is_refused_and_changes_nothing(
    suite: Suite, data: st.DataObject, again: bool
) -> None:
    device = Device2(suite)
    if again:
        device.accept(Letter(sequence=0))
    spoiled = data.draw(damaged(Letter(sequence=1).wire(suite)))
    before = device.everything()
    with refused():
        device.client.unprotect(spoiled, TOPIC, NOW)
    assert device.everything() == before


@suites
def test_a_message_of_one_topic_epoch_sender_or_session_opens_nowhere_else(suite: Suite) -> None:
    key = topic_key("key")
    table = (epoch_of(suite, key, EPOCH - 1), epoch_of(suite, key))
    device = Device2(suite, topics={TOPIC: table, "other": table}, knows=("sender", "second"))
    data = Letter().wire(suite)
    with refused("not_authentic", "bad_signature"):
        device.client.unprotect(data, "other", NOW)
    places = {1: le(EPOCH - 1, 4), 13: client_id("second"), 29: b"session1"}
    for place, other in places.items():
        with refused("not_authentic", "bad_signature"):
            device.client.unprotect(data[:place] + other + data[place + len(other) :], TOPIC, NOW)
    assert device.client.unprotect(data, TOPIC, NOW).payload == b"21.5"


@public_key
def test_a_member_cannot_sign_what_another_has_sealed(suite: Suite) -> None:
    device = Device2(suite, knows=("sender", "member"))
    stolen = Letter().wire(suite)
    with refused("bad_signature"):
        device.accept(Letter(signer="member"))
    assert device.client.unprotect(stolen, TOPIC, NOW).sender == client_id("sender")


@symmetric
def test_the_key_of_the_message_is_not_the_topic_key(suite: Suite) -> None:
    header = Letter().wire(suite)[:41]
    raw = suite.aead.key(hkdf(topic_key("key"), b"", suite.aead.key_len))
    forged = header + raw.seal(bytes(suite.aead.nonce_len), b"x", header)
    with refused("not_authentic"):
        Device2(suite).client.unprotect(forged, TOPIC, NOW)
