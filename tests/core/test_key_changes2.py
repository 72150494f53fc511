# SPDX-License-Identifier: Apache-2.0
"""Keys that change hands in Format 2: of the device, of the C2 and of senders."""

from __future__ import annotations

from dataclasses import replace

from e4core import command2, report
from e4core.command2 import (
    Command2,
    NewIDKey,
    RemovePubKey,
    RemoveTopic,
    ResetPubKeys,
    ResetTopics,
    SetC2Key,
    SetIDKey,
    SetPubKey,
)
from e4core.control2 import seal_command
from e4core.keys import Secret
from e4core.report import Ack, Outcome, check_offer
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, client_id, lp, refused
from tests.core.fleet2 import (
    EPOCH,
    Device2,
    full_hash,
    private_of,
    public_key,
    public_of,
    set_key,
    signature_public,
    suites,
    symmetric,
)


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


@suites
def test_what_is_no_key_is_refused(suite: Suite) -> None:
    device, public = Device2(suite), public_of(suite, "new")
    others: list[Command2] = [SetIDKey(Secret(bytes(32)))]
    if suite.signature:
        cut = suite.signature.public_len
        others = [SetPubKey(client_id("sender"), bytes(cut)), SetC2Key(public[cut:], bytes(cut))]
        others += [SetC2Key(b"\xff" * len(public[cut:]), public[:cut])]
    for other in others:
        assert device.ack(device.command(other)).refusal == "bad_key"


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


def _signed(suite: Suite, data: bytes) -> bytes:
    assert suite.signature
    return (
        lp("E4.2 message signature") + lp(suite.wire_name) + full_hash(TOPIC) + data[: -suite.signature.signature_len]
    )
