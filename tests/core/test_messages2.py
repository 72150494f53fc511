# SPDX-License-Identifier: Apache-2.0
"""Messages of Format 2: their bytes, every check of the receiver and the sender, and the order of the checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e4core.client import Tolerance
from e4core.client2 import Client2
from e4core.command2 import RemovePubKey, SetPubKey
from e4core.message import Message
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, client_id, refused, topic_key
from tests.core.fleet2 import (
    EPOCH,
    NEVER,
    PUBLIC_KEY,
    SUITES,
    SYMMETRIC,
    Device2,
    Letter,
    epoch_of,
    hkdf,
    set_key,
    signature_public,
)
from tests.core.strategies import LAW, damaged
from tests.core.suites2 import SIV_SK

suites = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
public_key = pytest.mark.parametrize("suite", PUBLIC_KEY, ids=lambda suite: suite.name)
symmetric = pytest.mark.parametrize("suite", SYMMETRIC, ids=lambda suite: suite.name)


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
def test_a_message_of_one_topic_epoch_sender_or_session_opens_nowhere_else(suite: Suite) -> None:
    key = topic_key("key")
    table = (epoch_of(suite, key, EPOCH - 1), epoch_of(suite, key))
    device = Device2(suite, topics={TOPIC: table, "other": table}, knows=("sender", "second"))
    data = Letter().wire(suite)
    with refused("not_authentic", "bad_signature"):
        device.client.unprotect(data, "other", NOW)
    places = {1: _le(EPOCH - 1, 4), 13: client_id("second"), 29: b"session1"}
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
        assert device.client.protect(b"", TOPIC, now)[1:5] == _le(EPOCH + 1, 4)
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


@symmetric
def test_the_key_of_the_message_is_not_the_topic_key(suite: Suite) -> None:
    header = Letter().wire(suite)[:41]
    raw = suite.aead.key(hkdf(topic_key("key"), b"", suite.aead.key_len))
    forged = header + raw.seal(bytes(suite.aead.nonce_len), b"x", header)
    with refused("not_authentic"):
        Device2(suite).client.unprotect(forged, TOPIC, NOW)


def test_a_nonce_without_room_for_a_sequence_is_refused_at_the_start() -> None:
    class Short:
        key_len, nonce_len, tag_len = 64, 3, 16

        def key(self, raw: bytes, /) -> object:
            raise NotImplementedError

    suite = replace(SIV_SK, aead=Short())  # type: ignore[arg-type]
    with refused("unsupported"):
        Device2(suite)


def _le(value: int, length: int) -> bytes:
    return value.to_bytes(length, "little")
