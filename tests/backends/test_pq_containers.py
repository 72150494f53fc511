# SPDX-License-Identifier: Apache-2.0
"""Commands and reports of every post-quantum suite, as containers of `format2.md` section 3."""

from __future__ import annotations

import os
from hashlib import sha3_256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e4core.errors import AuthenticationFailed, UnsupportedSuite
from tests.backends.oqs_here import MODULES, identity, suite
from tests.backends.pq_fleet import (
    COMMAND,
    HEADER,
    INFO,
    SUITES,
    container,
    flipped,
    opened,
    pairs_of,
    parts_of,
    places,
)


@SUITES
def test_containers_go_both_ways(name: str) -> None:
    (device, device_public), (c2, c2_public) = identity(name, 0), identity(name, 1)
    at_device = suite(name).control.at_device(device, c2_public)
    at_c2 = suite(name).control.at_c2(c2, device_public)
    for plaintext in (b"", b"\0", os.urandom(3000)):
        assert at_c2.open(INFO, HEADER, at_device.seal(INFO, HEADER, plaintext)) == plaintext
        assert at_device.open(INFO, HEADER, at_c2.seal(INFO, HEADER, plaintext)) == plaintext
    assert at_c2.seal(INFO, HEADER, b"") != at_c2.seal(INFO, HEADER, b"")
    with pytest.raises(UnsupportedSuite):
        _ = at_c2.command_key


@SUITES
def test_a_container_is_made_as_the_specification_says(name: str) -> None:
    """Taken apart here by hand (`format2.md` section 3)."""
    body, part = container(name), suite(name)
    scheme, kem = parts_of(name)
    device, c2 = pairs_of(identity(name, 0)[0]), pairs_of(identity(name, 1)[0])
    ciphertext, signature = body[: kem.ciphertext_len], body[-scheme.signature_len :]
    sealed = body[kem.ciphertext_len : -scheme.signature_len]
    hashes = sha3_256(c2.signature.public).digest() + sha3_256(device.kem.public).digest()
    context = INFO + hashes + HEADER + ciphertext
    scheme.verifier(c2.signature.public).verify(b"\x16E4.2 control signature" + context + sealed, signature)
    secret = device.kem.decapsulate(ciphertext)
    key = part.kdf(secret, b"\x10E4.2 control key" + context, 64)
    assert part.aead.key(key).open(b"", sealed, HEADER) == COMMAND


@SUITES
def test_no_changed_bit_of_a_container_is_accepted(name: str) -> None:
    body = container(name)
    assert opened(name, body) == COMMAND
    for bit in places(len(body)):
        with pytest.raises(AuthenticationFailed):
            opened(name, flipped(body, bit))


@SUITES
def test_no_other_info_header_peer_or_direction_is_accepted(name: str) -> None:
    body = container(name)
    for info, header, peer in (
        (flipped(INFO, 3), HEADER, 1),
        (INFO, flipped(HEADER, 200), 1),
        (INFO[:-1], INFO[-1:] + HEADER, 1),
        (INFO, HEADER, 2),
        (INFO, HEADER, 0),
    ):
        with pytest.raises(AuthenticationFailed):
            opened(name, body, info, header, peer)
    other_device = suite(name).control.at_device(identity(name, 2)[0], identity(name, 1)[1])
    own_command = suite(name).control.at_c2(identity(name, 1)[0], identity(name, 0)[1])
    for channel in (other_device, own_command):
        with pytest.raises(AuthenticationFailed):
            channel.open(INFO, HEADER, body)


@SUITES
def test_what_a_member_signs_itself_over_a_changed_ciphertext_does_not_open(name: str) -> None:
    """Behind the signature: a changed KEM ciphertext gives another secret, a changed AEAD output does not open."""
    body, (scheme, kem) = container(name), parts_of(name)
    device, c2 = pairs_of(identity(name, 0)[0]), pairs_of(identity(name, 1)[0])
    hashes = sha3_256(c2.signature.public).digest() + sha3_256(device.kem.public).digest()
    unsigned, cut = body[: -scheme.signature_len], kem.ciphertext_len
    for bit in (0, 8 * cut - 9, 8 * cut, 8 * len(unsigned) - 1):
        changed = flipped(unsigned, bit)
        context = INFO + hashes + HEADER + changed[:cut]
        signature = c2.signature.sign(b"\x16E4.2 control signature" + context + changed[cut:])
        with pytest.raises(AuthenticationFailed) as caught:
            opened(name, changed + signature)
        assert caught.value.kind == "not_authentic"


@SUITES
def test_every_shorter_and_longer_container_is_refused(name: str) -> None:
    body, (scheme, kem) = container(name), parts_of(name)
    cuts = {
        0,
        1,
        kem.ciphertext_len,
        kem.ciphertext_len + 15,
        kem.ciphertext_len + 16,
        scheme.signature_len,
        len(body) - 1,
    }
    for changed in (*(body[:cut] for cut in cuts), body + b"\0", body[1:]):
        with pytest.raises(AuthenticationFailed):
            opened(name, changed)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "pq-slh"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_was_sealed_opens_and_nothing_else(name: str, data: st.DataObject) -> None:
    info, header, plaintext = (data.draw(st.binary(max_size=most)) for most in (40, 26, 300))
    (device, device_public), (c2, c2_public) = identity(name, 0), identity(name, 1)
    body = suite(name).control.at_device(device, c2_public).seal(info, header, plaintext)
    channel = suite(name).control.at_c2(c2, device_public)
    assert channel.open(info, header, body) == plaintext
    with pytest.raises(AuthenticationFailed):
        channel.open(info, header, flipped(body, data.draw(st.integers(0, 8 * len(body) - 1))))
