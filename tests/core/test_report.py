# SPDX-License-Identifier: Apache-2.0
"""Reports: their bytes, by an independent reading of `format2.md` sections 3 and 4, and what is refused."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from e4core import report
from e4core.command import RemoveTopic
from e4core.errors import E4Error
from e4core.keys import TopicHash
from e4core.report import Ack, Hello, Outcome, Report
from e4core.suite import Suite
from tests.core.fleet import (
    NOW,
    SECOND,
    TOPIC,
    Device,
    client_id,
    digest_of,
    hkdf,
    lp,
    private_of,
    refused,
    shared_secret,
    topic_hash,
    topic_key,
)
from tests.core.strategies import LAW, damaged, ids

sequences = st.integers(0, 2**64 - 1)
reports: st.SearchStrategy[Report] = st.one_of(
    st.builds(Hello, ids, ids, sequences),
    st.builds(Ack, ids, ids, st.sampled_from([o for o in Outcome if o != Outcome.REFUSED]), st.just(""), sequences),
    st.builds(Ack, ids, ids, st.just(Outcome.REFUSED), st.sampled_from(report.REFUSALS), sequences),
)


def opened_by_hand(device: Device, data: bytes) -> bytes:
    """Plaintext of a report of Format 1."""
    context = lp("E4.2 report") + lp(device.suite.wire_name) + device.id + data[:26]
    key = hkdf(shared_secret(device.suite, device.private, device.c2), lp("E4.2 control key") + context, 64)
    return AESSIV(key).decrypt(data[26:], [data[:26]])


def test_a_hello_has_the_bytes_of_the_specification(suite: Suite, device: Device) -> None:
    data = device.client.hello()
    assert data[:10] == b"\x02\x02" + bytes(8)
    plain = opened_by_hand(device, data)
    peers = {} if suite.is_symmetric else {client_id("sender"): private_of(suite, "sender")[32:]}
    assert plain[:25] == b"\0" + bytes(8) + digest_of({topic_hash(TOPIC): (0, 0, topic_key("key"))}, peers)
    assert len(plain) == 41


def test_an_ack_has_the_bytes_of_the_specification(device: Device) -> None:
    refused_command = device.sealed(b"\xff", SECOND)
    data = device.client.command(refused_command, NOW).report
    assert data is not None
    assert len(data) == report.LONGEST
    plain = opened_by_hand(device, data)
    assert (plain[0], plain[25:41], plain[41], plain[42]) == (1, refused_command[8:24], 2, 2)


@LAW
@given(content=reports, salt=ids)
def test_what_the_device_seals_the_c2_opens(suite: Suite, content: Report, salt: bytes) -> None:
    device = Device(suite)
    sealed = report.seal(suite, device.channel(), device.id, content, salt)
    assert device.report(sealed) == content
    with refused("not_authentic"):
        report.open_report(suite, device.channel(), client_id("other"), sealed)


@LAW
@given(data=st.data())
def test_any_damage_to_a_report_is_refused(suite: Suite, data: st.DataObject) -> None:
    device = Device(suite)
    original = device.client.hello()
    for _ in range(4):
        with refused():
            device.report(data.draw(damaged(original)))
    assert device.report(original)


@LAW
@given(plain=st.binary(min_size=1, max_size=43) | st.binary(min_size=43, max_size=43).map(lambda b: b"\1" + b[1:]))
def test_whatever_a_device_seals_is_a_report_or_refused(suite: Suite, plain: bytes) -> None:
    device = Device(suite)
    header = b"\x02\x02" + bytes(24)
    wire_name = suite.wire_name.encode()
    info = b"\x0bE4.2 report" + bytes([len(wire_name)]) + wire_name + device.id
    try:
        opened = device.report(header + device.channel().seal(info, header, plain))
    except E4Error as error:
        assert error.kind == "bad_report"
    else:
        again = report.seal(suite, device.channel(), device.id, opened, bytes(16))
        assert opened_by_hand(device, again) == plain


def test_reports_never_repeat_their_salt(device: Device) -> None:
    salts = {device.client.hello()[10:26] for _ in range(20)}
    assert len(salts) == 20


def test_a_hello_is_answered_by_the_removal_of_its_nonce(device: Device) -> None:
    hello = device.report(device.client.hello())
    assert isinstance(hello, Hello)
    assert device.report(device.client.hello()) == hello
    synchronised = []
    for removed in (bytes(16), hello.nonce):
        device.command(RemoveTopic(TopicHash(removed)), SECOND)
        synchronised.append(device.client.synchronised)
    assert synchronised == [False, True]
    next_hello = device.report(device.client.hello())
    assert isinstance(next_hello, Hello)
    assert next_hello.nonce != hello.nonce


def test_a_device_that_has_just_started_is_not_synchronised(device: Device) -> None:
    assert not device.client.synchronised


@pytest.mark.parametrize("length", [0, 26, 42, report.LONGEST + 1])
def test_what_can_be_no_report_by_its_length_is_refused(device: Device, length: int) -> None:
    with refused("bad_length"):
        device.report(b"\x02\x02" + bytes(length - 2) if length else b"")


def test_a_command_of_format_2_is_no_report(device: Device) -> None:
    data = device.client.hello()
    for prefix in (b"\x02\x01", b"\x01\x02", b"\x02\x03"):
        with refused("bad_version"):
            device.report(prefix + data[2:])
