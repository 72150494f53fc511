# SPDX-License-Identifier: Apache-2.0
"""How a device of Format 2 obeys: every check in its order, all entries or none, keys that change hands, and what it reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    SetTopicKey,
    Sync,
)
from e4core.control2 import LONGEST, room, seal_command
from e4core.errors import E4Error
from e4core.keys import ClientId, FullTopicHash, Secret
from e4core.report import Outcome
from e4core.suite import Suite
from tests.core.fleet import NOW, TOPIC, client_id, refused, topic_key
from tests.core.fleet2 import (
    EPOCH,
    SUITES,
    Device2,
    full_hash,
    private_of,
    public_key,
    public_of,
    set_key,
    signature_public,
    suites,
)
from tests.core.strategies import LAW, damaged, ids, seconds, topic_keys

numbers = st.integers(0, 2**64 - 1)


def commands(suite: Suite) -> st.SearchStrategy[Command2]:
    everywhere: list[st.SearchStrategy[Command2]] = [
        st.builds(RemoveTopic, st.binary(min_size=32, max_size=32).map(FullTopicHash)),
        st.just(ResetTopics()),
        st.builds(
            SetTopicKey,
            st.binary(min_size=32, max_size=32).map(FullTopicHash),
            st.integers(0, 2**32 - 1),
            topic_keys,
            st.integers(0, 1),
            st.integers(0, 2**32 - 1),
            numbers,
            numbers,
        ),
        st.builds(Sync, ids, numbers),
    ]
    if suite.is_symmetric:
        return st.one_of(*everywhere, st.builds(SetIDKey, topic_keys.map(Secret)))
    names = st.sampled_from("abc")
    return st.one_of(
        *everywhere,
        st.builds(RemovePubKey, ids.map(ClientId)),
        st.just(ResetPubKeys()),
        st.builds(SetPubKey, ids.map(ClientId), names.map(lambda n: signature_public(suite, n)), numbers),
        names.map(lambda n: SetC2Key.of(suite, public_of(suite, n))),
        st.builds(NewIDKey, ids),
    )


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES), issued=seconds)
def test_what_is_encoded_is_decoded(suite: Suite, issued: int, data: st.DataObject) -> None:
    some = data.draw(st.lists(commands(suite), min_size=1, max_size=4))
    plain = command2.encode(some, issued)
    assert command2.decode(plain, suite) == some
    assert plain[:8] == issued.to_bytes(8, "little")


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES))
def test_whatever_is_decoded_is_a_command_or_a_typed_refusal(suite: Suite, data: st.DataObject) -> None:
    plain = command2.encode([data.draw(commands(suite))], 0)
    try:
        command2.decode(data.draw(damaged(plain)), suite)
    except E4Error as error:
        assert error.kind in report.REFUSALS


@suites
def test_a_topic_key_has_the_bytes_of_the_specification(suite: Suite) -> None:
    plain = command2.encode([SetTopicKey(full_hash("t"), 7, topic_key("k"), 1, 600, 5, 6)], 9)
    fields = (9, 8), (90, 2), (3, 1)
    head = b"".join(value.to_bytes(length, "little") for value, length in fields)
    rest = b"".join(value.to_bytes(length, "little") for value, length in ((1, 1), (600, 4), (5, 8), (6, 8)))
    assert plain == head + full_hash("t") + (7).to_bytes(4, "little") + bytes(topic_key("k")) + rest


# ------------------------------------------------------------------------------------------------------- refusals

UNKNOWN = b"\x01\x00\xfe"
BAD_LENGTH = b"\x01\x00\x00"
ALL_ZERO = command2.encode([SetTopicKey(full_hash("z"), 1, topic_key("z"))], 0)[8:].replace(topic_key("z"), bytes(32))


def _entry(*some: Command2) -> bytes:
    return command2.encode(some, 0)[8:]


def bad_entries(suite: Suite) -> dict[str, bytes]:
    """By the kind of refusal, in the order in which they are checked."""
    odd_use = _entry(set_key(5))
    entries = {
        "bad_command_length": BAD_LENGTH,
        "unknown_command": UNKNOWN,
        "unsupported": odd_use[:-21] + b"\x02" + odd_use[-20:],
        "bad_key": ALL_ZERO,
    }
    if not suite.is_symmetric:
        entries["pubkey_missing"] = _entry(RemovePubKey(client_id("nobody")))
    return {**entries, "epoch_conflict": _entry(set_key(EPOCH, "another"))}


REFUSED = [(suite, kind) for suite in SUITES for kind in bad_entries(suite)]
PAIRS = [(suite, *pair) for suite in SUITES for pair in combinations(bad_entries(suite), 2)]


@pytest.mark.parametrize(("suite", "kind"), REFUSED, ids=lambda each: getattr(each, "name", each))
def test_a_bad_entry_refuses_the_whole_command_and_only_the_sequence_advances(suite: Suite, kind: str) -> None:
    device = Device2(suite)
    good = _entry(set_key(EPOCH + 1), RemoveTopic(full_hash(TOPIC))) if kind != "epoch_conflict" else b""
    before = device.client.state
    data = device.sealed(raw=bytes(8) + good + bad_entries(suite)[kind], sequence=50)
    handled = device.client.command(data, NOW)
    assert (handled.outcome, handled.commands) == (Outcome.REFUSED, ())
    assert device.client.state == replace(before, last=50) == device.store.last
    ack = device.ack(handled)
    assert (ack.outcome, ack.refusal, ack.last_sequence) == (Outcome.REFUSED, kind, 50)
    assert ack.subject == report.subject(50)


@pytest.mark.parametrize(("suite", "first", "second"), PAIRS, ids=lambda each: getattr(each, "name", each))
def test_of_two_bad_entries_the_check_that_comes_first_counts(suite: Suite, first: str, second: str) -> None:
    entries = bad_entries(suite)
    orders = (
        [(first, second)]
        if second == "epoch_conflict" and first == "pubkey_missing"
        else [
            (first, second),
            (second, first),
        ]
    )
    for order in orders:
        device = Device2(suite)
        raw = bytes(8) + b"".join(entries[kind] for kind in order)
        assert device.ack(device.client.command(device.sealed(raw=raw), NOW)).refusal == first


@suites
def test_only_what_the_suite_has_is_supported(suite: Suite) -> None:
    device = Device2(suite)
    others: list[Command2] = (
        [ResetPubKeys(), RemovePubKey(client_id("x")), NewIDKey(bytes(16))]
        if suite.is_symmetric
        else [SetIDKey(Secret(topic_key("x")))]
    )
    for other in others:
        assert device.ack(device.command(other)).refusal == "unsupported"


@suites
@pytest.mark.parametrize("raw", [b"", bytes(7), bytes(8), bytes(9), bytes(8) + b"\0\0", bytes(8) + b"\x02\0\x01"])
def test_a_plaintext_that_holds_no_entry_or_half_of_one_is_refused(suite: Suite, raw: bytes) -> None:
    device = Device2(suite)
    if not raw:
        with refused("bad_length"):
            device.client.command(device.sealed(raw=raw), NOW)
        return
    assert device.ack(device.client.command(device.sealed(raw=raw), NOW)).refusal == "bad_command_length"


@suites
def test_a_command_has_an_upper_length_for_those_who_seal_and_for_those_who_open(suite: Suite) -> None:
    device, most = Device2(suite), room(suite)
    longest = device.sealed(raw=bytes(most))
    assert len(longest) == LONGEST == 1_000_000
    assert device.ack(device.client.command(longest, NOW)).refusal == "bad_command_length"
    with refused("bad_length"):
        device.sealed(raw=bytes(most + 1))
    with refused("bad_length"):
        device.client.command(b"\x01" + longest, NOW)


Spoil = Callable[[Device2, bytes], bytes]


def _by_another_c2(device: Device2, data: bytes) -> bytes:
    """Sealed by somebody who holds no key of the C2; in a symmetric suite, by one who does not know the device key."""
    stranger = {"private": "other"} if device.suite.is_symmetric else {"c2": "other"}
    channel = device.channel(**stranger)
    sequence = int.from_bytes(data[2:10], "little")
    return seal_command(device.suite, channel, device.id, sequence, command2.encode([ResetTopics()], 0), bytes(16))


@suites
def test_the_checks_of_a_command_come_in_their_order_and_change_nothing(suite: Suite) -> None:
    device = Device2(suite)
    device.command(ResetTopics(), sequence=100)
    forged = "not_authentic" if suite.is_symmetric else "bad_signature"
    tests: list[tuple[str, bytes]] = [
        ("bad_length", b"\x03" + bytes(41 + suite.control.overhead - 16)),
        ("bad_version", b"\x01" + device.sealed(ResetTopics(), sequence=99)[1:]),
        ("bad_version", b"\x02\x02" + device.sealed(ResetTopics(), sequence=99)[2:]),
        ("replayed", _by_another_c2(device, device.sealed(ResetTopics(), sequence=99))),
        (forged, _by_another_c2(device, device.sealed(ResetTopics(), sequence=100))),
        (forged, _by_another_c2(device, device.sealed(ResetTopics(), sequence=101))),
    ]
    for kind, data in tests:
        before = device.everything()
        with refused(kind):
            device.client.command(data, NOW)
        assert device.everything() == before


@public_key
def test_a_command_of_the_c2_that_does_not_open_is_not_authentic(suite: Suite) -> None:
    from e4backends.pairs import _SIGNATURE_LABEL

    device = Device2(suite)
    data = device.sealed(ResetTopics())
    assert suite.signature
    end = len(data) - suite.signature.signature_len
    kem = 26 + suite.control.overhead - 16 - suite.signature.signature_len
    sealed = data[kem : end - 1] + bytes([data[end - 1] ^ 1])
    context = b"\x0cE4.2 command" + bytes([len(suite.wire_name)]) + suite.wire_name.encode() + device.id
    hashes = suite.hash.digest(signature_public(suite, "c2"))
    hashes += suite.hash.digest(public_of(suite, "device")[suite.signature.public_len :])
    signer = suite.signature.signer(suite.c2.load(private_of(suite, "c2")))
    signature = signer.sign(_SIGNATURE_LABEL + context + hashes + data[:kem] + sealed)
    with refused("not_authentic"):
        device.client.command(data[:kem] + sealed + signature, NOW)


@LAW
@given(data=st.data(), suite=st.sampled_from(SUITES))
def test_whatever_is_not_exactly_a_command_is_refused_and_changes_nothing(suite: Suite, data: st.DataObject) -> None:
    device = Device2(suite)
    device.command(ResetTopics())
    before = device.everything()
    with refused():
        device.client.command(data.draw(damaged(device.sealed(set_key(EPOCH + 1)))), NOW)
    assert device.everything() == before


@suites
def test_a_command_for_another_device_is_refused(suite: Suite) -> None:
    device = Device2(suite)
    plain = command2.encode([ResetTopics()], 0)
    data = seal_command(suite, device.channel(), client_id("other"), 1, plain, bytes(16))
    with refused("not_authentic", "bad_signature"):
        device.client.command(data, NOW)


@suites
def test_a_command_that_cannot_be_saved_is_not_obeyed_and_may_come_again(suite: Suite) -> None:
    device = Device2(suite)
    before = device.client.state
    data = device.sealed(set_key(EPOCH + 1))
    device.store.full = True
    with refused("storage"):
        device.client.command(data, NOW)
    assert device.client.state is before
    device.store.full = False
    assert device.client.command(data, NOW).outcome is Outcome.APPLIED
