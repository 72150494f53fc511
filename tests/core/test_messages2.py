# SPDX-License-Identifier: Apache-2.0
"""Messages of Format 2: their bytes, who reads them and until when, and what is needed to protect."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.client import Tolerance
from e4core.client2 import Client2
from e4core.command2 import Command2, RemovePubKey, RemoveTopic, ResetTopics, SetPubKey
from e4core.message import Message
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, client_id, le, refused, topic_key
from tests.core.fleet2 import (
    EPOCH,
    NEVER,
    SUITES,
    Device2,
    Letter,
    epoch_of,
    full_hash,
    public_key,
    set_key,
    signature_public,
    suites,
)
from tests.core.strategies import LAW
from tests.core.suites2 import SIV_SK


@suites
def test_what_one_device_protects_another_reads_and_knows_who_says_to_have_sent_it(suite: Suite) -> None:
    alice = Device2(suite, "sender")
    bob = Device2(suite, "device")
    for sequence in range(3):
        data = alice.client.protect(b"payload", TOPIC, NOW)
        assert bob.client.unprotect(data, TOPIC, NOW) == Message(
            b"payload", client_id("sender"), not suite.is_symmetric, EPOCH, SECOND, False, sequence
        )


@suites
def test_a_protected_message_has_the_bytes_of_the_specification(suite: Suite) -> None:
    sender = Device2(suite, "sender")
    for sequence in range(3):
        data = sender.client.protect(b"21.5", TOPIC, NOW)
        expected = Letter(session=data[29:37], sequence=sequence).wire(suite)
        end = len(expected) - (suite.signature.signature_len if suite.signature else 0)
        assert data[:end] == expected[:end]
        assert len(data) == len(expected)


@suites
def test_the_session_is_drawn_as_the_specification_says(suite: Suite) -> None:
    sender = Device2(suite, "sender")
    client = Client2(suite, replace(sender.client.state, clean=True), sender.store, random=lambda n: b"\7" * n)
    data = client.protect(b"", TOPIC, NOW)
    clock, starts = int(NOW * 1e9).to_bytes(8, "little"), (2).to_bytes(8, "little")
    assert data[29:37] == sha256(b"\x0cE4.2 session" + b"\7" * 32 + clock + starts + sender.id).digest()[:8]


@LAW
@given(payload=st.binary(max_size=300), suite=st.sampled_from(SUITES))
def test_every_payload_comes_back_the_empty_one_too(suite: Suite, payload: bytes) -> None:
    data = Device2(suite, "sender").client.protect(payload, TOPIC, NOW)
    assert Device2(suite).client.unprotect(data, TOPIC, NOW).payload == payload


@suites
def test_what_was_made_by_hand_is_accepted(suite: Suite) -> None:
    message = Device2(suite).accept(Letter(sequence=77))
    assert (message.payload, message.sender, message.sequence) == (b"21.5", client_id("sender"), 77)
    assert message.authenticated == (not suite.is_symmetric)


@suites
def test_the_skew_is_tolerated_to_the_second_and_the_validity_too(suite: Suite) -> None:
    device = Device2(suite, tolerance=Tolerance(skew_s=30))
    device.accept(Letter(sent=SECOND + 30, sequence=0), now=SECOND)
    with refused("timestamp_future"):
        device.accept(Letter(sent=SECOND + 31, sequence=1), now=SECOND)
    device.accept(Letter(sent=SECOND - 600, sequence=2), now=SECOND)
    with refused("timestamp_old"):
        device.accept(Letter(sent=SECOND - 601, sequence=3), now=SECOND)


@suites
def test_without_a_validity_messages_of_any_age_are_accepted(suite: Suite) -> None:
    assert Device2(suite, validity_s=0).accept(Letter(sent=1)).timestamp == 1


@suites
def test_a_known_session_is_held_to_the_time_as_well(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter(sequence=0))
    with refused("timestamp_old"):
        device.accept(Letter(sequence=1), now=NOW + 601)
    with refused("timestamp_future"):
        device.accept(Letter(sequence=1), now=NOW - 31)
    device.accept(Letter(sequence=1))


@suites
def test_a_device_reads_its_own_messages(suite: Suite) -> None:
    device = Device2(suite, knows=())
    data = device.client.protect(b"echo", TOPIC, NOW)
    message = device.client.unprotect(data, TOPIC, NOW)
    assert (message.sender, message.authenticated) == (device.id, not suite.is_symmetric)
    with refused("replayed"):
        device.client.unprotect(data, TOPIC, NOW)


@public_key
def test_the_previous_key_of_a_sender_verifies_until_its_time_and_no_longer(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter(sequence=0))
    device.command(SetPubKey(client_id("sender"), signature_public(suite, "new"), SECOND + 60))
    assert device.accept(Letter(sequence=1)).authenticated
    assert device.accept(Letter(sequence=2, signer="new")).authenticated
    assert device.accept(Letter(sequence=3), now=SECOND + 59.9).authenticated
    with refused("bad_signature"):
        device.accept(Letter(sequence=4), now=SECOND + 60)
    assert device.accept(Letter(sequence=4, signer="new"), now=SECOND + 60).authenticated
    device.client.erase_expired(SECOND + 60)
    assert not device.client.state.peers[client_id("sender")].former


@public_key
def test_a_sender_whose_key_was_removed_is_unknown_at_once(suite: Suite) -> None:
    device = Device2(suite)
    device.accept(Letter(sequence=0))
    device.command(RemovePubKey(client_id("sender")))
    with refused("unknown_sender"):
        device.accept(Letter(sequence=1))


@suites
def test_a_topic_key_for_reading_only_is_not_used_to_protect(suite: Suite) -> None:
    device = Device2(suite, topics={TOPIC: (epoch_of(suite, topic_key("key"), use=0),)})
    with refused("topic_key_missing"):
        device.client.protect(b"", TOPIC, NOW)
    device.accept(Letter())


@suites
def test_the_newest_epoch_that_may_send_protects_until_its_own_end(suite: Suite) -> None:
    old = epoch_of(suite, topic_key("key"), EPOCH, not_after=0, until=NEVER)
    sends = epoch_of(suite, topic_key("b"), EPOCH + 1, not_after=SECOND + 10, until=NEVER)
    ahead = epoch_of(suite, topic_key("c"), EPOCH + 2, use=0)
    device = Device2(suite, topics={TOPIC: (old, sends, ahead)})
    for now in (NOW, SECOND + 10.9):
        assert device.client.protect(b"", TOPIC, now)[1:5] == le(EPOCH + 1, 4)
    for _ in range(2):
        with refused("key_expired"):
            device.client.protect(b"", TOPIC, SECOND + 11)
        device.client.erase_expired(SECOND + 11)


@suites
def test_a_key_that_another_has_retired_does_not_protect(suite: Suite) -> None:
    device = Device2(suite)
    device.client.protect(b"", TOPIC, NOW)
    device.command(set_key(EPOCH + 1, use=0, older_until=0))
    with refused("topic_key_missing"):
        device.client.protect(b"", TOPIC, NOW)


@suites
def test_a_closed_client_does_nothing(suite: Suite) -> None:
    device = Device2(suite)
    data = device.client.protect(b"", TOPIC, NOW)
    device.client.unprotect(data, TOPIC, NOW)
    device.client.close()
    device.client.close()
    for use in (
        lambda: device.client.protect(b"", TOPIC, NOW),
        lambda: device.client.unprotect(data, TOPIC, NOW),
        lambda: device.command(set_key(EPOCH + 1)),
        lambda: device.client.hello(NOW),
        lambda: device.client.erase_expired(NOW),
    ):
        with refused("closed"):
            use()


@suites
def test_no_topic_name_that_cannot_be_published_on_is_taken(suite: Suite) -> None:
    for name in ("", "a/+", "#", "\0", "x" * 513):
        with refused("bad_topic"):
            Device2(suite).client.protect(b"", name, NOW)


def test_a_nonce_without_room_for_a_sequence_is_refused_at_the_start() -> None:
    class Short:
        key_len, nonce_len, tag_len = 64, 3, 16

        def key(self, raw: bytes, /) -> object:
            raise NotImplementedError

    suite = replace(SIV_SK, aead=Short())  # type: ignore[arg-type]
    with refused("unsupported"):
        Device2(suite)


@suites
@pytest.mark.parametrize("removal", [RemoveTopic(full_hash(TOPIC)), ResetTopics()], ids=["remove", "reset"])
def test_a_session_that_was_opened_under_a_key_that_went_is_opened_under_the_one_that_came(
    suite: Suite, removal: Command2
) -> None:
    device, letter = Device2(suite), Letter()
    device.accept(letter)
    device.command(removal, set_key(EPOCH, "new"))
    with refused("not_authentic"):
        device.accept(letter.but(sequence=1))
    new = letter.but(key=topic_key("new"), sequence=1)
    assert device.accept(new).payload == letter.payload
    with refused("replayed"):
        device.accept(new)
