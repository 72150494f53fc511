# SPDX-License-Identifier: Apache-2.0
"""The AEAD against its RFC and a second implementation; a message against Format 2 and the row that is published."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha3_256

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl import bindings

from e4core.client2 import Client2
from e4core.keys import ClientId, FullTopicHash, Secret, TopicKey
from e4core.plugins import load_suite
from e4core.state2 import Epoch, new_state

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


def test_who_knows_the_row_and_format_2_reads_a_message() -> None:
    """As a port would: with the wire name and the lengths that are published, and no suite of e4."""
    topics = {FullTopicHash(sha3_256(b"hall/light").digest()): (Epoch(1, TopicKey(RAW), bytes(8), use=1),)}
    state = replace(new_state(SUITE, ClientId(bytes(16)), Secret(RAW)), topics=topics)
    data = Client2(SUITE, state, save=lambda _state: None).protect(b"on", "hall/light", 1_800_000_000)
    info = (
        b"\x10E4.2 message key" + b"\x10acme-chacha-sk-1" + sha3_256(b"hall/light").digest() + data[1:5] + data[13:37]
    )
    key = HKDF(SHA256(), 32, None, info).derive(RAW)
    nonce = data[37:41] + bytes(8)
    assert bindings.crypto_aead_chacha20poly1305_ietf_decrypt(data[41:], data[:41], nonce, key) == b"on"
