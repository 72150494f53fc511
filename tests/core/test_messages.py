# SPDX-License-Identifier: Apache-2.0
"""Messages: what opens, what is refused and why, and that what is refused leaves no trace (`wire.md` sections 2 to 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.client import Tolerance
from e4core.message import Message
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
from tests.core.strategies import LAW, damaged, names, payloads

L = 2**252 + 27742317777372353535851937790883648493  # order of the base point of Ed25519


def assert_refused_without_trace(device: Device, data: bytes, topic: str = TOPIC, now: float = NOW) -> str:
    before, saves = device.client.state, len(device.store.saved)
    with refused() as caught:
        device.client.unprotect(data, topic, now)
    assert device.client.state == before
    assert len(device.store.saved) == saves
    return caught.value.kind


@LAW
@given(payload=payloads, topic=names)
def test_what_one_member_protects_another_opens(suite: Suite, payload: bytes, topic: str) -> None:
    topics = {topic: topic_key("key")}
    sender, receiver = Device(suite, "sender", topics=topics), Device(suite, topics=topics)
    data = sender.client.protect(payload, topic, NOW)
    assert len(data) == len(payload) + (24 if suite.is_symmetric else 104)
    assert receiver.client.unprotect(data, topic, NOW).payload == payload


def test_a_message_says_who_sent_it_where_the_suite_can_tell(suite: Suite, device: Device) -> None:
    received = device.client.unprotect(message(suite, b"21.5", SECOND - 2), TOPIC, NOW)
    sender = None if suite.is_symmetric else client_id("sender")
    assert received == Message(b"21.5", sender, not suite.is_symmetric, 0, SECOND - 2)


def test_an_empty_payload_is_refused_in_sk_only(suite: Suite, device: Device) -> None:
    empty = Device(suite, "sender").client.protect(b"", TOPIC, NOW)
    if suite.is_symmetric:
        assert assert_refused_without_trace(device, empty) == "too_short"
    else:
        assert device.client.unprotect(empty, TOPIC, NOW).payload == b""


def test_every_flipped_bit_is_refused_and_the_original_opens_afterwards(suite: Suite, device: Device) -> None:
    data = message(suite, b"abc", SECOND)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_refused_without_trace(device, bytes(flipped))
    assert device.client.unprotect(data, TOPIC, NOW).payload == b"abc"


def test_every_truncation_is_refused_and_the_original_opens_afterwards(suite: Suite, device: Device) -> None:
    data = message(suite, b"abc", SECOND)
    for length in range(len(data)):
        assert_refused_without_trace(device, data[:length])
    assert device.client.unprotect(data, TOPIC, NOW).payload == b"abc"


@LAW
@given(data=st.data())
def test_any_damage_is_refused_and_the_original_opens_afterwards(suite: Suite, data: st.DataObject) -> None:
    device, original = Device(suite), message(suite, b"open the valve", SECOND)
    for _ in range(4):
        assert_refused_without_trace(device, data.draw(damaged(original)))
    assert device.client.unprotect(original, TOPIC, NOW).payload == b"open the valve"


@pytest.mark.parametrize(
    ("sent", "now", "kind"),
    [
        (SECOND, SECOND + 600.0, None),
        (SECOND, SECOND + 600.001, "timestamp_old"),
        (SECOND, SECOND - 30.0, None),
        (SECOND, SECOND - 30.001, "timestamp_future"),
        (2**63 - 62135596801, NOW, "timestamp_future"),
        (2**63 - 62135596800, NOW, "timestamp_old"),
        (2**63, NOW, "timestamp_old"),
        (2**64 - 1, NOW, "timestamp_old"),
        (0, NOW, "timestamp_old"),
    ],
)
def test_a_timestamp_counts_to_the_fraction_of_a_second(
    suite: Suite, device: Device, sent: int, now: float, kind: str | None
) -> None:
    data = message(suite, b"x", sent)
    if kind is None:
        assert device.client.unprotect(data, TOPIC, now).timestamp == sent
    else:
        assert assert_refused_without_trace(device, data, now=now) == kind


@pytest.mark.parametrize("skew_s", [0, 0.5, 600])
def test_the_tolerated_skew_is_what_was_asked_for(suite: Suite, skew_s: float) -> None:
    device = Device(suite, tolerance=Tolerance(skew_s=skew_s))
    data = message(suite, b"x", SECOND)
    assert assert_refused_without_trace(device, data, now=SECOND - skew_s - 0.125) == "timestamp_future"
    assert device.client.unprotect(data, TOPIC, SECOND - skew_s).payload == b"x"


def test_a_topic_without_a_key_is_told_before_the_data_is_looked_at(device: Device) -> None:
    assert assert_refused_without_trace(device, b"", "other") == "topic_key_missing"
    with refused("topic_key_missing"):
        device.client.protect(b"x", "other", NOW)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "x" * 513, "é" * 257, "\ud800"])
def test_what_can_be_no_topic_is_refused(device: Device, topic: str) -> None:
    assert assert_refused_without_trace(device, b"x" * 120, topic) in ("bad_topic", "bad_utf8")
    with refused("bad_topic", "bad_utf8"):
        device.client.protect(b"x", topic, NOW)


def test_a_message_under_another_topics_key_is_not_authentic(suite: Suite, device: Device) -> None:
    assert assert_refused_without_trace(device, message(suite, b"x", SECOND, bytes(31) + b"\1")) == "not_authentic"


def test_topics_whose_names_differ_in_case_are_different(device: Device) -> None:
    assert assert_refused_without_trace(device, b"x" * 120, TOPIC.upper()) == "topic_key_missing"


def test_a_sender_without_a_known_key_is_refused_the_own_one_too(pk: Suite) -> None:
    device = Device(pk)
    assert assert_refused_without_trace(device, message(pk, b"x", SECOND, sender="stranger")) == "unknown_sender"
    own = device.client.protect(b"x", TOPIC, NOW)
    assert assert_refused_without_trace(device, own) == "unknown_sender"


def test_a_member_cannot_speak_as_another(pk: Suite) -> None:
    device = Device(pk, knows=("sender", "rogue"))
    posed = sign(private_of(pk, "rogue"), topic_hash("sender"), seal(topic_key("key"), b"x", SECOND))
    assert assert_refused_without_trace(device, posed) == "bad_signature"


def test_a_malleable_signature_is_refused(pk: Suite) -> None:
    data = message(pk, b"x", SECOND)
    s = int.from_bytes(data[-32:], "little") + L
    assert assert_refused_without_trace(Device(pk), data[:-32] + s.to_bytes(32, "little")) == "bad_signature"


def test_the_signature_is_checked_before_the_ciphertext_is_opened(pk: Suite) -> None:
    foreign = message(pk, b"x", SECOND, key=bytes(31) + b"\1")
    assert assert_refused_without_trace(Device(pk), foreign[:-1] + bytes([foreign[-1] ^ 1])) == "bad_signature"
    assert assert_refused_without_trace(Device(pk), foreign) == "not_authentic"


@pytest.mark.parametrize("length", range(73, 104))
def test_a_signed_message_that_is_too_short_is_refused_by_its_length(pk: Suite, length: int) -> None:
    signed = SECOND.to_bytes(8, "little") + topic_hash("sender") + bytes(length - 88 if length > 88 else 0)
    data = sign(private_of(pk, "sender"), b"", signed)[:length]
    assert assert_refused_without_trace(Device(pk), data) == "bad_length"
