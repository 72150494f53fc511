# SPDX-License-Identifier: Apache-2.0
"""What a device of Format 2 does when it obeys: order of commands, acks, hello and Sync."""

from __future__ import annotations

import pytest

from e4core import report
from e4core.client2 import Client2
from e4core.command2 import (
    RemovePubKey,
    RemoveTopic,
    ResetTopics,
    SetPubKey,
    Sync,
)
from e4core.container import REPORT
from e4core.errors import StorageError
from e4core.report import Outcome
from e4core.suite import Suite
from tests.core.fleet import NOW, SECOND, TOPIC, client_id, digest_of, refused, topic_key
from tests.core.fleet2 import (
    EPOCH,
    SUITES,
    Device2,
    Letter,
    full_hash,
    private_of,
    public_key,
    set_key,
    signature_public,
    suites,
)


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
    expected = digest_of({full_hash(TOPIC): (EPOCH, EPOCH + 5, topic_key(str(EPOCH + 5)))}, peers)
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
@pytest.mark.parametrize("time_ms", [2**32 * 1000, 3 * 10**13, 2**64 - 1])
def test_without_a_clock_a_time_after_the_last_epoch_is_none(suite: Suite, time_ms: int) -> None:
    device = Device2(suite, clock_is_trusted=False)
    for offset in (0, SECOND - 103):
        hello = device.hello(now=100 + offset)
        assert device.command(Sync(hello.nonce, time_ms), now=102 + offset).outcome is Outcome.APPLIED
        assert (device.client.synchronised, device.client.clock_offset_s) == (False, offset)
        device.command(Sync(hello.nonce, SECOND * 1000), now=103 + offset)
        assert (device.client.synchronised, device.client.clock_offset_s) == (True, SECOND - 103)
    device.client.protect(b"", TOPIC, float(SECOND))


def test_a_report_that_cannot_be_signed_undoes_nothing() -> None:
    """As where the key is in a token that does not answer."""
    device = Device2(SUITES[0])
    data = device.sealed(set_key(EPOCH + 1))
    answers = [False, True]

    def random(length: int) -> bytes:
        if not answers.pop(0):
            raise StorageError("the token does not answer")
        return bytes(length)

    device.client = Client2(device.suite, device.store.last, device.store, random=random)
    with refused("storage"):
        device.client.command(data, NOW)
    assert [epoch.number for epoch in device.epochs] == [EPOCH + 1]
    assert device.client.command(data, NOW).outcome is Outcome.ALREADY


@suites
def test_without_a_clock_commands_are_obeyed_and_only_what_ends_at_once_ends(suite: Suite) -> None:
    device = Device2(suite, clock_is_trusted=False)
    device.command(set_key(EPOCH + 1, older_until=5, not_after=7), now=10**10)
    device.client.erase_expired(10**10)
    assert all(epoch.key for epoch in device.epochs)
    device.command(set_key(EPOCH + 2, older_until=0), now=10**10)
    assert [epoch.number for epoch in device.epochs] == [EPOCH + 2]


@public_key
def test_what_comes_earlier_in_a_command_counts_for_what_comes_later(suite: Suite) -> None:
    device = Device2(suite, knows=())
    added = SetPubKey(client_id("one"), signature_public(suite, "one"))
    assert device.command(added, RemovePubKey(client_id("one"))).outcome is Outcome.APPLIED
    assert device.command(RemovePubKey(client_id("one")), added).outcome is Outcome.REFUSED
