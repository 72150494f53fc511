# SPDX-License-Identifier: Apache-2.0
"""A suite of Format 1 that has nothing of AES: whatever follows the rules of the guide *Write a suite* will do."""

from __future__ import annotations

import hmac
from dataclasses import replace
from hashlib import blake2b

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from e4backends.sk import SUITE as SK
from e4core import report
from e4core.client import Client
from e4core.command import SetTopicKey, encode
from e4core.errors import AuthenticationFailed, Replayed
from e4core.keys import ClientId, Secret, TopicHash, TopicKey, check_symmetric_key
from e4core.state import new_state
from e4core.suite import PrivateKey

RAW = bytes(range(32))
NOW = 1_800_000_000


class Key:
    """SIV (Rogaway and Shrimpton, 2006): the tag is a MAC of all that goes in, and gives the key of the stream."""

    def __init__(self, raw: bytes) -> None:
        self._raw = bytes(raw)

    def seal(self, nonce: bytes, plaintext: bytes, associated_data: bytes, /) -> bytes:
        assert nonce == b""
        tag = self._tag(plaintext, associated_data)
        return tag + self._stream(tag, plaintext)

    def open(self, nonce: bytes, ciphertext: bytes, associated_data: bytes, /) -> bytes:
        assert nonce == b""
        tag, plaintext = ciphertext[:16], self._stream(ciphertext[:16], ciphertext[16:])
        if not hmac.compare_digest(tag, self._tag(plaintext, associated_data)):
            raise AuthenticationFailed
        return plaintext

    def _tag(self, plaintext: bytes, associated_data: bytes) -> bytes:
        text = len(associated_data).to_bytes(8, "little") + associated_data + plaintext
        return blake2b(text, key=self._raw, digest_size=16, person=b"tag").digest()

    def _stream(self, tag: bytes, data: bytes) -> bytes:
        key = blake2b(tag, key=self._raw, digest_size=32, person=b"stream").digest()
        return Cipher(ChaCha20(key, bytes(16)), mode=None).encryptor().update(data)


class ChaChaSiv:
    key_len = 32
    nonce_len = 0
    tag_len = 16

    def key(self, raw: bytes, /) -> Key:
        check_symmetric_key(raw)
        return Key(raw)


class Channel:
    """Commands under the device key; reports under a key for each."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self.command_key = Key(secret)

    def seal(self, info: bytes, header: bytes, plaintext: bytes, /) -> bytes:
        return self._report_key(info + header).seal(b"", plaintext, header)

    def open(self, info: bytes, header: bytes, body: bytes, /) -> bytes:
        return self._report_key(info + header).open(b"", body, header)

    def _report_key(self, context: bytes) -> Key:
        return Key(SK.kdf(self._secret, b"\x10E4.2 control key" + context, 32))


class Control:
    overhead = 16

    def at_device(self, device: PrivateKey, _c2_public: bytes, /) -> Channel:
        assert isinstance(device, Secret)
        return Channel(device)

    def at_c2(self, _c2: PrivateKey, device_public: bytes, /) -> Channel:
        return Channel(Secret(device_public))


SUITE = replace(SK, name="chacha-siv", wire_name="acme-chacha-siv-1", aead=ChaChaSiv(), control=Control())


def device(name: str) -> Client:
    return Client(SUITE, new_state(SUITE, ClientId(SUITE.derive_id(name)), Secret(RAW)), save=lambda _state: None)


def test_two_devices_get_a_key_and_talk() -> None:
    c2 = SUITE.control.at_c2(SUITE.c2.load(b""), RAW)
    header = NOW.to_bytes(8, "little")
    topic_key = SetTopicKey(TopicKey(bytes(range(1, 33))), TopicHash(SUITE.derive_id("hall/light")))
    command = header + Key(RAW).seal(b"", encode(topic_key), header)
    lamp, switch = device("lamp"), device("switch")
    for client in (lamp, switch):
        handled = client.command(command, NOW)
        assert handled.outcome is report.Outcome.APPLIED
        ack = report.open_report(SUITE, c2, client.state.client_id, handled.report or b"")
        assert ack.digest == report.digest(SUITE, {topic_key.topic: report.fingerprint(SUITE, topic_key.key)}, {})
    data = switch.protect(b"on", "hall/light", NOW + 1)
    assert data[8:] == Key(topic_key.key).seal(b"", b"on", data[:8])
    assert lamp.unprotect(data, "hall/light", NOW + 1).payload == b"on"
    with pytest.raises(Replayed):
        lamp.unprotect(data, "hall/light", NOW + 2)
