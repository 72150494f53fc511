# SPDX-License-Identifier: Apache-2.0
"""What a device of Format 2 does when it obeys: order of commands, keys that change hands, acks, hello and Sync."""

from __future__ import annotations

from dataclasses import replace

import pytest

from e4core import command2, report
from e4core.command2 import (
    NewIDKey,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
    Sync,
)
from e4core.container import REPORT
from e4core.control2 import seal_command
from e4core.report import Ack, Outcome, check_offer
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, client_id, refused, topic_key
from tests.core.fleet2 import (
    EPOCH,
    PUBLIC_KEY,
    SUITES,
    SYMMETRIC,
    Device2,
    Letter,
    digest_of,
    full_hash,
    private_of,
    public_of,
    set_key,
    signature_public,
)

suites = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
public_key = pytest.mark.parametrize("suite", PUBLIC_KEY, ids=lambda suite: suite.name)
symmetric = pytest.mark.parametrize("suite", SYMMETRIC, ids=lambda suite: suite.name)


@suites
def test_a_command_may_be_as_old_as_it_likes_but_never_come_after_a_newer_one(suite: Suite) -> None:
    device = Device2(suite)
    old, new = device.sealed(ResetTopics(), sequence=5), device.sealed(set_key(EPOCH + 1), sequence=6)
    assert device.client.command(new, NOW + 10**9).outcome is Outcome.APPLIED
    before = device.everything()
    with refused("replayed"):
        device.client.command(old, NOW)
    assert device.everything() == before


@suites
def test_the_same_command_again_is_acknowledged_as_already_done_once_in_ten_seconds(suite: Suite) -> None:
    device = Device2(suite)
    data = device.sealed(set_key(EPOCH + 1), sequence=7)
    device.client.command(data, NOW)
    before = device.everything()
    again = device.client.command(device.sealed(set_key(EPOCH + 1), sequence=7), NOW + 1)
    ack = device.ack(again)
    assert (ack.outcome, ack.subject, ack.refusal) == (Outcome.ALREADY, report.subject(7), "")
    assert device.client.command(data, NOW + 10.9).reports == ()
    assert device.client.command(data, NOW + 11).reports != ()
    assert device.everything() == before


@suites
def test_the_state_is_saved_before_a_command_is_acknowledged_and_holds_after_a_crash(suite: Suite) -> None:
    device = Device2(suite)
    handled = device.command(set_key(EPOCH + 1), RemoveTopic(full_hash("none")), sequence=9)
    assert device.ack(handled).last_sequence == 9
    device.restart(clean=False)
    assert [epoch.number for epoch in device.epochs] == [EPOCH + 1]
    assert device.command(ResetTopics(), sequence=9).outcome is Outcome.ALREADY


@suites
def test_acks_hellos_and_their_digest_say_what_the_device_holds(suite: Suite) -> None:
    device = Device2(suite)
    ack = device.ack(device.command(set_key(EPOCH + 5, use=0, older_until=SECOND + 9, not_after=SECOND + 20)))
    peers = {} if suite.is_symmetric else {client_id("sender"): signature_public(suite, "sender")}
    expected = digest_of(suite, {TOPIC: (EPOCH, EPOCH + 5, topic_key(str(EPOCH + 5)))}, peers)
    assert ack.digest == expected
    # what is over is still what the C2 has said
    device.client.erase_expired(SECOND + 100)
    assert [epoch.key for epoch in device.epochs] == [None, None]
    assert device.hello().digest == expected
    assert device.hello().last_sequence == device.client.state.last


@suites
def test_the_header_of_an_ack_names_the_command_and_that_of_a_hello_none(suite: Suite) -> None:
    device = Device2(suite)
    data = device.command(ResetTopics(), sequence=0x1234).report
    assert data is not None
    assert data[:10] == b"\x02\x02" + (0x1234).to_bytes(8, "little")
    assert device.client.hello(NOW)[:10] == b"\x02\x02" + bytes(8)
    for each in (data, device.client.hello(NOW)):
        assert len(each) <= report.longest(suite)


@suites
def test_a_report_whose_header_was_changed_or_that_is_another_devices_does_not_open(suite: Suite) -> None:
    device = Device2(suite)
    data = device.client.hello(NOW)
    for place in (2, 10, len(data) - 1):
        with refused("not_authentic", "bad_signature"):
            device.report(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    lying = REPORT.seal(
        suite,
        suite.control.at_device(suite.device.load(private_of(suite, "device")), device.client.state.c2_public),
        device.id,
        7,
        b"\0" + bytes(8 + 16 + 16),
        bytes(16),
    )
    with refused("bad_report"):
        device.report(lying)


# ------------------------------------------------------------------------------------------------ keys that change


@symmetric
def test_a_new_device_key_is_pending_until_a_command_opens_under_it(suite: Suite) -> None:
    device = Device2(suite)
    handled = device.command(SetIDKey(private_of(suite, "new")))
    assert device.ack(handled, private="new").outcome is Outcome.APPLIED
    assert (device.client.state.private, device.client.state.pending) == (
        private_of(suite, "device"),
        private_of(suite, "new"),
    )
    device.restart(clean=False)
    device.command(set_key(EPOCH + 1))
    assert device.client.state.pending == private_of(suite, "new")
    device.private_name = "new"
    assert device.ack(device.command(ResetTopics())).outcome is Outcome.APPLIED
    assert (device.client.state.private, device.client.state.pending) == (private_of(suite, "new"), b"")
    device.private_name = "device"
    with refused("not_authentic"):
        device.command(ResetTopics())


@symmetric
def test_a_second_new_device_key_takes_the_place_of_the_first(suite: Suite) -> None:
    device = Device2(suite)
    device.command(SetIDKey(private_of(suite, "first")))
    device.command(SetIDKey(private_of(suite, "second")))
    device.private_name = "first"
    with refused("not_authentic"):
        device.command(ResetTopics())
    device.private_name = "second"
    assert device.command(ResetTopics()).outcome is Outcome.APPLIED


@public_key
def test_a_refused_command_changes_no_key_even_if_it_opened_under_a_new_one(suite: Suite) -> None:
    device = Device2(suite)
    device.command(SetC2Key.of(suite, public_of(suite, "next")))
    device.c2 = "next"
    device.client.command(device.sealed(raw=bytes(8) + b"\x01\x00\xfe"), NOW)
    assert device.client.state.former_c2_public == public_of(suite, "c2")


@public_key
def test_a_new_c2_key_gets_the_reports_and_the_former_is_obeyed_until_the_new_one_is_used(suite: Suite) -> None:
    device = Device2(suite)
    handled = device.command(SetC2Key.of(suite, public_of(suite, "next")))
    assert device.ack(handled, c2="next").outcome is Outcome.APPLIED
    device.restart(clean=True)
    assert device.command(set_key(EPOCH + 1)).outcome is Outcome.APPLIED
    device.c2 = "next"
    assert device.command(set_key(EPOCH + 2)).outcome is Outcome.APPLIED
    assert device.client.state.former_c2_public == b""
    device.c2 = "c2"
    with refused("bad_signature"):
        device.command(ResetTopics())


@public_key
def test_a_c2_that_changes_its_key_twice_is_still_obeyed_under_the_one_it_uses(suite: Suite) -> None:
    device = Device2(suite)
    device.command(SetC2Key.of(suite, public_of(suite, "second")))
    device.command(SetC2Key.of(suite, public_of(suite, "third")))
    assert device.command(SetC2Key.of(suite, public_of(suite, "third"))).outcome is Outcome.APPLIED
    assert device.client.state.former_c2_public == public_of(suite, "c2")
    device.c2 = "third"
    assert device.command(ResetTopics()).outcome is Outcome.APPLIED


@public_key
def test_a_device_makes_its_own_new_keys_offers_them_and_switches_when_they_are_used(suite: Suite) -> None:
    device = Device2(suite)
    assert suite.signature
    handled = device.command(NewIDKey(b"n" * 16), sequence=40)
    assert [type(device.report(data)) for data in handled.reports] == [Ack, report.Offer]
    offer = device.offer(handled)
    check_offer(suite, device.id, offer)
    assert (offer.nonce, offer.last_sequence) == (b"n" * 16, 40)
    with refused("bad_signature"):
        check_offer(suite, client_id("other"), offer)
    with refused("bad_signature"):
        check_offer(suite, device.id, replace(offer, nonce=bytes(16)))
    # asked again, with or without a new sequence, it offers the same
    assert device.offer(device.command(NewIDKey(b"n" * 16), sequence=40)).public == offer.public
    assert device.offer(device.command(NewIDKey(b"n" * 16))).public == offer.public
    device.restart(clean=False)
    old = device.client.protect(b"", TOPIC, NOW)
    verifier = suite.signature.verifier(signature_public(suite, "device"))
    verifier.verify(_signed(suite, old), old[-suite.signature.signature_len :])
    # the C2 seals to the offered key
    channel = suite.control.at_c2(suite.c2.load(private_of(suite, "c2")), offer.public)
    plain = command2.encode([RemoveTopic(full_hash("none"))], SECOND)
    data = seal_command(suite, channel, device.id, 60, plain, bytes(16))
    handled = device.client.command(data, NOW)
    assert handled.report is not None
    assert isinstance(report.open_report(suite, channel, device.id, handled.report), Ack)
    assert (device.client.state.pending, device.client.state.offered) == (b"", b"")
    new = device.client.protect(b"", TOPIC, NOW)
    verifier = suite.signature.verifier(offer.public[: suite.signature.public_len])
    verifier.verify(_signed(suite, new), new[-suite.signature.signature_len :])
    with refused("bad_signature"):
        device.command(ResetTopics(), sequence=70)


@public_key
def test_another_nonce_asks_for_other_keys(suite: Suite) -> None:
    device = Device2(suite)
    first, second = (device.offer(device.command(NewIDKey(nonce * 16))) for nonce in (b"a", b"b"))
    assert first.public != second.public
    assert device.client.state.offered == second.nonce


@public_key
def test_public_keys_come_and_go(suite: Suite) -> None:
    device = Device2(suite, knows=())
    one, two = client_id("one"), client_id("two")
    held = []
    for each in (
        [SetPubKey(peer, signature_public(suite, peer.hex())) for peer in (one, two)],
        [RemovePubKey(one)],
        [ResetPubKeys()],
    ):
        device.command(*each)
        held.append(set(device.client.state.peers))
    assert held == [{one, two}, {two}, set()]


@public_key
def test_what_comes_earlier_in_a_command_counts_for_what_comes_later(suite: Suite) -> None:
    device = Device2(suite, knows=())
    added = SetPubKey(client_id("one"), signature_public(suite, "one"))
    assert device.command(added, RemovePubKey(client_id("one"))).outcome is Outcome.APPLIED
    assert device.command(RemovePubKey(client_id("one")), added).outcome is Outcome.REFUSED


# --------------------------------------------------------------------------------------------------- hello and Sync


@suites
def test_a_sync_with_the_nonce_of_a_hello_ends_the_waiting(suite: Suite) -> None:
    device = Device2(suite)
    first, second = device.hello(), device.hello()
    assert first.nonce != second.nonce
    synchronised = []
    for nonce in (bytes(16), first.nonce):
        device.command(Sync(nonce, 0), now=NOW + 3600)
        synchronised.append(device.client.synchronised)
    device.hello()
    assert [*synchronised, device.client.synchronised] == [False, True, False]
    assert device.client.clock_offset_s == 0


@suites
def test_without_a_clock_the_time_of_a_fresh_sync_is_taken(suite: Suite) -> None:
    device = Device2(suite, clock_is_trusted=False)
    hello = device.hello(now=100)
    device.command(Sync(hello.nonce, SECOND * 1000 + 250), now=102)
    assert device.client.synchronised
    assert 102 + device.client.clock_offset_s == pytest.approx(SECOND + 0.25)
    now = 103 + device.client.clock_offset_s
    assert device.accept(Letter(), now=now).payload == b"21.5"
    assert device.client.protect(b"", TOPIC, now)[5:13] == int(now).to_bytes(8, "little")


@suites
def test_without_a_clock_a_sync_that_took_too_long_or_is_for_another_hello_is_none(suite: Suite) -> None:
    device = Device2(suite, clock_is_trusted=False)
    hello = device.hello(now=100)
    device.command(Sync(hello.nonce, SECOND * 1000), now=110.5)
    device.command(Sync(hello.nonce, SECOND * 1000), now=99)
    device.command(Sync(bytes(16), SECOND * 1000), now=101)
    assert not device.client.synchronised
    with refused("clock_unset"):
        device.accept(Letter())


@suites
def test_without_a_clock_commands_are_obeyed_and_only_what_ends_at_once_ends(suite: Suite) -> None:
    device = Device2(suite, clock_is_trusted=False)
    device.command(set_key(EPOCH + 1, older_until=5, not_after=7), now=10**10)
    device.client.erase_expired(10**10)
    assert all(epoch.key for epoch in device.epochs)
    device.command(set_key(EPOCH + 2, older_until=0), now=10**10)
    assert [epoch.number for epoch in device.epochs] == [EPOCH + 2]


def _signed(suite: Suite, data: bytes) -> bytes:
    assert suite.signature
    label = b"\x16E4.2 message signature" + bytes([len(suite.wire_name)]) + suite.wire_name.encode()
    return label + full_hash(TOPIC) + data[: -suite.signature.signature_len]
