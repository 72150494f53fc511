# SPDX-License-Identifier: Apache-2.0
"""The suite is held to its laws, to the RFC, and to a second implementation."""

from __future__ import annotations

import pytest
from nacl import bindings

from e4core.errors import AuthenticationFailed, InvalidInput
from e4core.plugins import load_suite

SUITE = load_suite("chacha-sk")
RAW = bytes(range(32))
KEY = SUITE.aead.key(RAW)
NONCE = bytes(range(12))
HEADER = bytes(41)


def test_the_example_of_rfc_8439() -> None:
    """Section 2.8.2."""
    key = SUITE.aead.key(bytes(range(0x80, 0xA0)))
    nonce = bytes.fromhex("070000004041424344454647")
    plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you "
    plaintext += b"only one tip for the future, sunscreen would be it."
    sealed = key.seal(nonce, plaintext, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"))
    assert sealed[:16].hex() == "d31a8d34648e60db7b86afbc53ef7ec2"
    assert sealed[-16:].hex() == "1ae10b594f09e26a7e902ecbd0600691"


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 1000])
def test_libsodium_gives_the_same_bytes(length: int) -> None:
    sealed = KEY.seal(NONCE, bytes(length), HEADER)
    assert sealed == bindings.crypto_aead_chacha20poly1305_ietf_encrypt(bytes(length), HEADER, NONCE, RAW)
    assert len(sealed) == length + SUITE.aead.tag_len
    assert KEY.open(NONCE, sealed, HEADER) == bytes(length)


def test_any_change_is_refused() -> None:
    sealed = KEY.seal(NONCE, b"on", HEADER)
    number = int.from_bytes(sealed)
    changed = [(number ^ 1 << bit).to_bytes(len(sealed)) for bit in range(8 * len(sealed))]
    shorter = [sealed[:length] for length in range(len(sealed))]
    for bad in [*changed, *shorter, sealed + b"\0"]:
        with pytest.raises(AuthenticationFailed):
            KEY.open(NONCE, bad, HEADER)
    for nonce, header in [(bytes(12), HEADER), (NONCE, bytes(40)), (NONCE, bytes(40) + b"\1")]:
        with pytest.raises(AuthenticationFailed):
            KEY.open(nonce, sealed, header)


@pytest.mark.parametrize("raw", [b"", bytes(32), RAW[:31], RAW + b"\0"])
def test_bad_keys_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        SUITE.aead.key(raw)


def test_a_device_and_its_c2_understand_each_other() -> None:
    device = SUITE.control.at_device(SUITE.device.load(RAW), b"")
    c2 = SUITE.control.at_c2(SUITE.c2.load(b""), RAW)
    body = c2.seal(b"info", b"header", b"a command")
    assert len(body) == len(b"a command") + SUITE.control.overhead
    assert device.open(b"info", b"header", body) == b"a command"
    with pytest.raises(AuthenticationFailed):
        device.open(b"other", b"header", body)
